/*
 * TLS of `veredus send`. Who asks for it (--tls required, implicit) wants to know with whom: the
 * certificate is verified unless --insecure says otherwise. Where it is taken because it is
 * offered, it protects from who only listens.
 */
#include "cmd/send.h"
#include "cmd/tool.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define CA_MAX    (16u << 20)

static bool
must_verify(const struct send *send)
{
	return !send->is_insecure &&
	       (send->tls == SEND_TLS_REQUIRED || send->tls == SEND_TLS_IMPLICIT);
}

static int
read_trusted(struct send *send)
{
	const char *path = send->tls_ca ? send->tls_ca : SYSTEM_CA;
	struct buffer text;
	uint8_t piece[1024];
	size_t len;
	FILE *file = fopen(path, "re");

	if (!file)
		return tool_fail(
			SEND_NAME, EX_NOINPUT, "%s can't be opened: %s", path, strerror(errno));
	buffer_init(&text, send->env.memory, CA_MAX);
	while ((len = fread(piece, 1, sizeof piece, file)) > 0)
		buffer_append(&text, slice_of(piece, len));
	bool is_read = !ferror(file) && buffer_error(&text) == OK;
	fclose(file);
	enum error error =
		is_read ? tls_client_trust(send->tls_context, buffer_slice(&text)) : ERROR_IO;
	buffer_done(&text);
	if (error == OK)
		return EX_OK;
	return tool_fail(SEND_NAME, EX_NOINPUT, "%s: %s", path,
		is_read ? "there is no certificate in PEM in it" : "can't be read");
}

int
send_prepare_tls(struct send *send)
{
	struct tls_client_settings settings = {.strict = false};

	if (send->tls == SEND_TLS_OFF)
		return EX_OK;
	send->tls_context = tls_client_new(&send->env, &settings);
	if (!send->tls_context)
		return tool_fail(SEND_NAME, EX_OSERR, "out of memory");
	return must_verify(send) || send->tls_ca ? read_trusted(send) : EX_OK;
}

/* The address that was connected to, without port and brackets. */
static void
append_name(const struct send *send, struct buffer *name)
{
	if (send->tls_name.len > 0)
		buffer_append(name, send->tls_name);
	else if (send->endpoint.address.ss_family == AF_UNIX)
		buffer_append(name, SLICE("localhost"));
	else
		endpoint_append_address(name, &send->endpoint);
}

static void
note_level(struct send *send, struct tls_stream *tls)
{
	struct buffer text;
	const char *why;

	buffer_init_fixed(&text, send->tls_level, sizeof send->tls_level - 1);
	buffer_printf(&text, "%s %s, %s", tls_stream_version(tls), tls_stream_cipher(tls),
		tls_stream_is_verified(tls, &why) ? "verified" : "not verified");
	send->tls_level[text.len] = 0;
	send->is_encrypted = true;
	if (send->is_verbose)
		fprintf(stderr, "  (%s)\n", send->tls_level);
}

enum error
send_handshake(
	struct send *send, struct stream *below, struct tls_stream *ret_tls, mono_us deadline)
{
	char storage[256];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	append_name(send, &name);
	enum error error = tls_stream_open(ret_tls, send->tls_context, below);
	if (error != OK)
		return error;
	error = tls_stream_expect(ret_tls, buffer_slice(&name), must_verify(send));
	if (error == OK)
		error = tls_handshake(ret_tls, deadline);
	if (error == OK) {
		note_level(send, ret_tls);
		return OK;
	}
	memcpy(send->tls_problem, ret_tls->problem, sizeof send->tls_problem);
	send->tls_fault = *send->tls_problem ? send->tls_problem : error_text(error);
	tls_stream_detach(ret_tls);
	return error;
}
