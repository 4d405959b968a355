/* What a unit test file needs around Check: one suite a file, each test in a process of its own,
 * TAP on stdout. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* UNIT_MAIN("folder/file", test_a, test_b, ...) with tests written as START_TEST(test_a) { ... }
 * END_TEST. */
#define UNIT_MAIN(name, ...)                                                        \
	int main(void)                                                              \
	{                                                                           \
		const TTest *const unit_tests[] = {__VA_ARGS__};                    \
		Suite *suite = suite_create(name);                                  \
		TCase *tcase = tcase_create(name);                                  \
		tcase_set_timeout(tcase, 60);                                       \
		for (size_t i = 0; i < sizeof unit_tests / sizeof *unit_tests; i++) \
			tcase_add_test(tcase, unit_tests[i]);                       \
		suite_add_tcase(suite, tcase);                                      \
		SRunner *runner = srunner_create(suite);                            \
		srunner_set_tap(runner, "-");                                       \
		srunner_run_all(runner, CK_SILENT);                                 \
		int failed = srunner_ntests_failed(runner);                         \
		srunner_free(runner);                                               \
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                   \
	}

#define ck_assert_ok(call) ck_assert_int_eq((call), OK)
#define ck_assert_slice_eq(slice, literal)                                                 \
	ck_assert_msg(slice_equal((slice), slice_text(literal)), "\"%.*s\" is not \"%s\"", \
		SLICE_ARGS(slice), (literal))

#endif
