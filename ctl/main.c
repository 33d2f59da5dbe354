/* emberctl: look at profiles, take them, compare them. One subcommand is one file (command.h). */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ctl/command.h"

static void print_help(FILE *f)
{
	fputs("Usage: emberctl COMMAND [OPTION...] [ARGUMENT...]\n"
	      "Take, look at, compare and convert profiles of this host.\n\n"
	      "Commands:\n",
	        f);
	for (size_t i = 0; commands[i]; i++)
		fprintf(f, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n"
	      "  --help       this list; 'emberctl COMMAND --help' explains one command, with examples\n"
	      "  --version    print the version\n\n"
	      "Examples:\n"
	      "  emberctl record -d 10 -o cpu.pb.gz             ten seconds of the whole host\n"
	      "  emberctl top cpu.pb.gz                         where the time went\n"
	      "  emberctl flamegraph -o cpu.html cpu.pb.gz      the same as a picture\n"
	      "  emberctl diff --normalize old.pb.gz new.pb.gz  what changed\n"
	      "  emberctl top --type cpu --from -1h             the last hour of this host's store\n",
	        f);
}

static int unknown_command(const char *name)
{
	(void)log_err(0, "there is no command '%s'; 'emberctl --help' lists them", name);
	return COMMAND_USAGE;
}

/* Names are any bytes; widths are counted in UTF-8 even where the environment says nothing. */
static void set_locale(void)
{
	if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
}

static int run(int argc, char **argv)
{
	const struct command *c;
	int r;

	if (argc < 2) {
		print_help(stderr);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "-?") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("emberctl " EMBER_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "help") == 0 && argc == 3) {
		static char help[] = "--help";

		c = command_find(argv[2]);
		return c ? c->run(c, 2, (char *[]){ argv[2], help, NULL }) : unknown_command(argv[2]);
	}
	c = command_find(argv[1]);
	if (!c)
		return unknown_command(argv[1]);
	r = c->run(c, argc - 1, argv + 1);
	return r < 0 ? COMMAND_FAILED : r;
}

int main(int argc, char **argv)
{
	int r;

	set_locale();
	log_set_prefix("emberctl: ");
	r = run(argc, argv);
	if (fflush(stdout) != 0 && r == 0) {
		(void)log_err(-errno, "cannot write to standard output");
		r = COMMAND_FAILED;
	}
	return r;
}
