/* In one call: a report is small beside what memory it took to make it. */
#include "aggregate/write.h"

#include <limits.h>
#include <zlib.h>

#define GZIP_WINDOW  (MAX_WBITS + 16)
#define MEMORY_LEVEL 8

enum error
aggregate_compress(struct slice xml, struct buffer *gzip)
{
	z_stream stream = {0};

	if (xml.len > INT_MAX / 2)
		return ERROR_LIMIT;
	if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return ERROR_NO_MEMORY;
	uLong most = deflateBound(&stream, (uLong)xml.len);
	uint8_t *out = buffer_reserve(gzip, most);
	int code = Z_MEM_ERROR;
	if (out) {
		stream.next_in = (z_const Bytef *)(uintptr_t)xml.ptr;
		stream.avail_in = (uInt)xml.len;
		stream.next_out = out;
		stream.avail_out = (uInt)most;
		code = deflate(&stream, Z_FINISH);
		gzip->len -= stream.avail_out;
	}
	deflateEnd(&stream);
	return code == Z_STREAM_END ? OK : ERROR_NO_MEMORY;
}
