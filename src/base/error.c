/* Names of program errors, and the one place that maps errno to them. */
#include "base/error.h"

#include <errno.h>

static const char *const texts[ERROR_COUNT] = {
	[OK] = "ok",
	[ERROR_NO_MEMORY] = "out of memory",
	[ERROR_LIMIT] = "over the limit",
	[ERROR_FORMAT] = "malformed",
	[ERROR_DAMAGED] = "damaged",
	[ERROR_IO] = "input/output error",
	[ERROR_NO_SPACE] = "no space left",
	[ERROR_NO_DESCRIPTORS] = "too many open files",
	[ERROR_TIMEOUT] = "timed out",
	[ERROR_CLOSED] = "closed by the other side",
	[ERROR_CANCELLED] = "cancelled",
	[ERROR_AGAIN] = "not ready",
	[ERROR_NOT_FOUND] = "not found",
	[ERROR_EXISTS] = "exists already",
	[ERROR_DENIED] = "not permitted",
	[ERROR_UNSUPPORTED] = "not supported here",
	[ERROR_UNKNOWN] = "outcome unknown",
};

const char *
error_text(enum error error)
{
	if ((unsigned)error >= ERROR_COUNT)
		return "unknown error";
	return texts[error];
}

enum error
error_from_errno(int errno_value)
{
	switch (errno_value) {
	case 0:
		return OK;
	case ENOMEM:
	case ENOBUFS:
		return ERROR_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
		return ERROR_NO_SPACE;
	case EMFILE:
	case ENFILE:
		return ERROR_NO_DESCRIPTORS;
	case ETIMEDOUT:
		return ERROR_TIMEOUT;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
	case ECONNREFUSED:
	case ECONNABORTED:
		return ERROR_CLOSED;
	case EAGAIN:
		return ERROR_AGAIN;
	case ENOENT:
	case ENOTDIR:
	case ESRCH:
		return ERROR_NOT_FOUND;
	case EEXIST:
		return ERROR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERROR_DENIED;
	case ENOSYS:
	case EOPNOTSUPP:
		return ERROR_UNSUPPORTED;
	case EFBIG:
	case E2BIG:
	case EMSGSIZE:
	case ENAMETOOLONG:
		return ERROR_LIMIT;
	default:
		return ERROR_IO;
	}
}
