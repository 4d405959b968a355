/*
 * OpenSSL says what it found ("tlsv1 alert unknown ca"); a person wants to know who did what. The
 * usual reasons have sentences of their own, the others OpenSSL's words.
 */
#include "tls/problem.h"

struct sentence {
	int reason;
	const char *text;
};

static const struct sentence sentences[] = {
	{SSL_R_WRONG_VERSION_NUMBER, "what came is not TLS"},
	{SSL_R_HTTP_REQUEST, "what came is HTTP, not TLS"},
	{SSL_R_PACKET_LENGTH_TOO_LONG, "what came is not TLS"},
	{SSL_R_RECORD_LENGTH_MISMATCH, "what came is not TLS"},
	{SSL_R_BAD_PROTOCOL_VERSION_NUMBER, "what came is not TLS"},
	{SSL_R_UNEXPECTED_MESSAGE, "a message of the handshake came out of order"},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, "the connection was cut in the midst of it"},
	{SSL_R_UNSUPPORTED_PROTOCOL, "there is no version of TLS that both sides allow"},
	{SSL_R_VERSION_TOO_LOW, "there is no version of TLS that both sides allow"},
	{SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the other side allows none of our versions of TLS"},
	{SSL_R_NO_SHARED_CIPHER, "there is no cipher that both sides allow"},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "there is no signature that both sides can"},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "there is no signature that both sides can"},
	{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
		"the other side found no cipher or certificate that both can"},
	{SSL_R_NO_APPLICATION_PROTOCOL, "the other side wants another protocol (ALPN)"},
	{SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,
		"the other side offers another protocol (ALPN)"},
	{SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the other side does not trust our certificate's issuer"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the other side refuses our certificate"},
	{SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the other side refuses our certificate"},
	{SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "the other side refuses our certificate"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "for the other side our certificate has expired"},
	{SSL_R_TLSV1_ALERT_ACCESS_DENIED, "the other side refuses us"},
	{SSL_R_DH_KEY_TOO_SMALL, "the other side's Diffie-Hellman key is too small"},
	{SSL_R_EE_KEY_TOO_SMALL, "the certificate's key is too small"},
	{SSL_R_CA_MD_TOO_WEAK, "the certificate is signed with a hash that is broken"},
	{SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED,
		"the other side's TLS lacks the secure renegotiation of RFC 5746"},
};

static const char *
sentence_of(int reason)
{
	for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
		if (sentences[i].reason == reason)
			return sentences[i].text;
	return NULL;
}

static bool
append_verification(struct buffer *text, SSL *ssl)
{
	long result = SSL_get_verify_result(ssl);

	if (result == X509_V_OK)
		return false;
	buffer_append_text(text, "its certificate can't be trusted: ");
	buffer_append_text(text, X509_verify_cert_error_string(result));
	return true;
}

void
tls_problem_append(struct buffer *text, SSL *ssl)
{
	unsigned long error = ERR_peek_error();
	int reason = ERR_GET_REASON(error);
	bool is_tls = ERR_GET_LIB(error) == ERR_LIB_SSL;
	const char *sentence = is_tls ? sentence_of(reason) : NULL;
	const char *words = ERR_reason_error_string(error);

	if (is_tls && reason == SSL_R_CERTIFICATE_VERIFY_FAILED && append_verification(text, ssl))
		;
	else if (ERR_GET_LIB(error) == ERR_LIB_USER && reason == REMOTE_KEY_FAILED)
		buffer_append_text(text, "no signature was to be had of our key");
	else
		buffer_append_text(text, sentence ? sentence
					 : words  ? words
						  : "the other side closed the connection");
	ERR_clear_error();
}
