/* The Message-ID out of headers of all kinds, in pieces of every size. */
#include "text/message_id.h"
#include "unit.h"

static const struct {
	const char *content;
	const char *id;
} cases[] = {
	{"Message-ID: <a@b>\r\n\r\n", "<a@b>"},
	{"From: x\r\nmessage-id:<a@b>\r\n", "<a@b>"},
	{"Message-Id : \t<a@b> (comment)\r\n", "<a@b>"},
	{"MESSAGE-ID:\r\n <a@b>\r\n", "<a@b>"},
	{"Message-ID: <a@b>", "<a@b>"},
	{"Message-ID: <a@b\r\n", ""},
	{"Message-ID: a@b\r\nSubject: <c@d>\r\n", ""},
	{"Message-ID: a@b\r\nMessage-ID: <c@d>\r\n", "<c@d>"},
	{"Message-ID: <a b>\r\nMessage-ID: <c@d>\r\n", "<c@d>"},
	{"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", "<a@b>"},
	{"X: Message-ID: <a@b>\r\n", ""},
	{"X: y\r\n Message-ID: <a@b>\r\n", ""},
	{"Message-IDs: <a@b>\r\n", ""},
	{"Message-I: <a@b>\r\n", ""},
	{"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n", ""},
	{"\r\nMessage-ID: <a@b>\r\n", ""},
	{"Message-ID: <<a@b>\r\n", ""},
	{"", ""},
};

START_TEST(noted_in_pieces)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice content = slice_text(cases[i].content);
		for (size_t piece = 1; piece <= content.len + 1; piece++) {
			struct message_id id = {0};
			for (size_t at = 0; at < content.len; at += piece)
				message_id_feed(&id, slice_sub(content, at, piece));
			ck_assert_slice_eq(message_id_text(&id), cases[i].id);
		}
	}
}
END_TEST

START_TEST(length_is_bounded)
{
	for (size_t len = MESSAGE_ID_MAX - 3; len <= MESSAGE_ID_MAX + 3; len++) {
		char text[MESSAGE_ID_MAX + 8];
		struct message_id id = {0};
		memset(text, 'x', sizeof text);
		text[0] = '<';
		text[len - 1] = '>';
		message_id_feed(&id, SLICE("Message-ID: "));
		message_id_feed(&id, slice_of(text, len));
		ck_assert_uint_eq(message_id_text(&id).len, len <= MESSAGE_ID_MAX ? len : 0);
		ck_assert_int_eq(message_id_is_valid(slice_of(text, len)), len <= MESSAGE_ID_MAX);
	}
	ck_assert(!message_id_is_valid(SLICE("<a\r\n>")) && !message_id_is_valid(SLICE("a@b")));
}
END_TEST

UNIT_MAIN("text/message_id", noted_in_pieces, length_is_bounded)
