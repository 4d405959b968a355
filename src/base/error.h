/*
 * The one program error of Veredus. A mail outcome (temporary, permanent, with its enhanced status
 * code) is another type: each module that meets both maps one to the other in one place.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum error {
	OK = 0,
	ERROR_NO_MEMORY,
	ERROR_LIMIT,          /* a named maximum would be exceeded */
	ERROR_FORMAT,         /* the bytes do not follow their grammar */
	ERROR_DAMAGED,        /* stored bytes fail their check */
	ERROR_IO,             /* the disk failed, or answered what it never should */
	ERROR_NO_SPACE,       /* ENOSPC, EDQUOT */
	ERROR_NO_DESCRIPTORS, /* EMFILE, ENFILE */
	ERROR_TIMEOUT,        /* the deadline passed */
	ERROR_CLOSED,         /* the other side is gone */
	ERROR_CANCELLED,      /* the waiting task was told to end */
	ERROR_AGAIN,          /* nothing now; wait and try again */
	ERROR_NOT_FOUND,
	ERROR_EXISTS,
	ERROR_DENIED,      /* EACCES, EPERM, or our own rule */
	ERROR_UNSUPPORTED, /* this kernel or this build lacks it */
	ERROR_UNKNOWN,     /* the outcome is not known: it may have happened */
	ERROR_COUNT
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A short lower-case phrase: "no space left", never NULL. */
const char *error_text(enum error error);

/* The error for an errno value; 0 is OK. Unknown values are ERROR_IO. */
enum error error_from_errno(int errno_value);

#endif
