/* Gives memory back that is not needed until the next window: free heap, and pages of program text that only starting
 * or ending a window ran (they come back from the page cache when they run again). */
#pragma once

void trim_memory(void);
