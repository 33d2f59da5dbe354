/* Helper programs of ours that are spoken to over a socket, and what a child has used when it is gone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HELPER_SOCKET_FD 3 /* where the child finds its end */

/* Starts executable with socket (borrowed) as descriptor HELPER_SOCKET_FD, /dev/null as input and output, our standard
 * error, no other descriptor, no environment, no signal blocked or ignored. argv ends in NULL. The pidfd belongs to the
 * caller; where it cannot be had, the child is gone again. */
int helper_start(const char *executable, char *const argv[], int socket, pid_t *ret_pid, int *ret_pidfd);

/* 1: reaped, or no child of ours (status and time are 0 then); 0: it still runs (only where !waits). Outputs may be
 * NULL; ret_cpu_ns is what it and its own reaped children used. */
int helper_reap(pid_t pid, bool waits, int *ret_status, uint64_t *ret_cpu_ns);
