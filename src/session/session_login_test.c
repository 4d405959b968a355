#include "session/session_login.h"
#include "unit.h"

START_TEST(senders_are_his_own_or_granted)
{
	static const struct {
		const char *senders, *sender;
		bool may;
	} cases[] = {
		{"", "alice@example.org", true},
		{"", "ALICE@Example.org", true},
		{"", "bob@example.org", false},
		{"", "alice@example.org.test", false},
		{"", "malice@example.org", false},
		{"", "alice", false},
		{"bob@example.org", "bob@example.org", true},
		{"sales@example.org,bob@example.org", "Bob@example.org", true},
		{"sales@example.org,bob@example.org", "ob@example.org", false},
		{"*@lists.test", "any@lists.test", true},
		{"*@lists.test", "any@LISTS.test", true},
		{"*@lists.test", "@lists.test", false},
		{"*@lists.test", "any@sub.lists.test", false},
		{"*@lists.test", "any@otherlists.test", false},
		{"*@a.test,x@b.test,*@c.test", "y@c.test", true},
		{"*@a.test,x@b.test,*@c.test", "y@b.test", false},
		{"a@xn--bank-3ra.test", "a@bank\xc3\xbc.test", true},
		{"a@xn--bank-3ra.test", "a@BANK\xc3\x9c.test", true},
		{"a@xn--bank-3ra.test", "b@bank\xc3\xbc.test", false},
		{"a@bank.test", "a@bank\xc3\xbc.test", false},
		{"*@xn--bank-3ra.test", "j\xc3\xbcrg@bank\xc3\xbc.test", true},
		{"*@xn--bank-3ra.test", "a@x.bank\xc3\xbc.test", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct session_login login = {
			SLICE("alice@example.org"), slice_text(cases[i].senders)};
		ck_assert_msg(session_login_may_send_as(&login, slice_text(cases[i].sender)) ==
				      cases[i].may,
			"%s as %s", cases[i].senders, cases[i].sender);
	}
}
END_TEST

UNIT_MAIN("session/session_login", senders_are_his_own_or_granted)
