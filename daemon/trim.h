/* Gives memory back that is not needed until the next window: free heap, and pages of program files that only
 * starting or ending a window used (they come back from the page cache when they are used again). */
#pragma once

void trim_memory(void);
