/* The maps that all sources share; no program. See maps.bpf.h. */
#define OWNER_OF_SHARED_MAPS
#include "bpf/maps.bpf.h"

char LICENSE[] SEC("license") = "GPL";
