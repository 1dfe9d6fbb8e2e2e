/*
 * coir/file.h - files.  Reading, writing and closing them is in coir/fd.h.
 */
#ifndef COIR_FILE_H
#define COIR_FILE_H

#include <sys/types.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

/*
 * Open a file, as open(2) does, with O_CLOEXEC added.
 *
 * path      Borrowed until the call returns.
 * flags     O_RDONLY and its like, from <fcntl.h>.
 * mode      For a file that is created; else ignored.
 *
 * Returns   a descriptor, to be closed with coir_close(); -ECANCELED or
 *           -ETIMEDOUT, nothing opened; what open(2) fails with.
 * Suspends  until the file is open.
 */
COIR_API int coir_open(const char *path, int flags, mode_t mode);

COIR_END_DECLS

#endif
