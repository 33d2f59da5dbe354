/* Where this host's store is, and what --source may name in its place: a store's directory, or the control socket of an
 * emberd, whose store is then meant. */
#pragma once

/* source: NULL for this host's: the running emberd's, else the one that emberd.conf names, else STORE_DEFAULT_PATH.
 * *ret belongs to the caller. Logs on failure. */
int home_find(const char *source, char **ret);
