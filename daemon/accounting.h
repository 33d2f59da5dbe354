/* What BPF objects cost, as the kernel tells: memory of maps, run time of programs. */
#pragma once
#include <stdint.h>

struct bpf_object;

uint64_t accounting_map_bytes(int map_fd); /* 0 where it cannot be told */
/* Adds up the programs of an object; zero while nobody has switched the accounting on. */
void accounting_object_run_time(const struct bpf_object *obj, uint64_t *ret_ns, uint64_t *ret_runs);
