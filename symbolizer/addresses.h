/* Sorted addresses that are looked up. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Index of the first that is at or above address; n for none. */
static inline uint32_t addresses_from(const uint64_t *addresses, uint32_t n, uint64_t address)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (addresses[mid] < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Whether one lies in [low, high). */
static inline bool addresses_any(const uint64_t *addresses, uint32_t n, uint64_t low, uint64_t high)
{
	uint32_t i = addresses_from(addresses, n, low);

	return i < n && addresses[i] < high;
}
