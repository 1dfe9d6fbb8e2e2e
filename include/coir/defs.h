/*
 * coir/defs.h - the macros that the other public headers are written with.
 *
 * Nothing here is of interest to a program that uses coir.
 */
#ifndef COIR_DEFS_H
#define COIR_DEFS_H

#ifdef __cplusplus
#define COIR_BEGIN_DECLS extern "C" {
#define COIR_END_DECLS }
#else
#define COIR_BEGIN_DECLS
#define COIR_END_DECLS
#endif

/* Marks what the library exports; everything else in it is hidden. */
#define COIR_API __attribute__((visibility("default")))

#define COIR_MUST_USE __attribute__((warn_unused_result))
#define COIR_MAYBE_UNUSED __attribute__((unused))

#endif
