/*
 * Policies by name, and what users write for them: "wsclock:tau=5000,look=8".
 */
#include "lockstep.h"

enum { TAU, LOOK, LOAD }; /* wsclock's */

static void names_are_found_whole(void **state)
{
    assert_string_equal(policy_find("clock", 5)->name, "clock");
    assert_string_equal(policy_find("clock:load=set", 5)->name, "clock");
    assert_null(policy_find("clock", 4));
    assert_null(policy_find("clocks", 6));
    assert_null(policy_find("Clock", 5));
    assert_null(policy_find("", 0));
}

static void every_name_is_there_once(void **state)
{
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        for (const char *at = (*type)->name; *at; at++)
            assert_true((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-');
        for (const struct policy_type *const *other = policy_types; other != type; other++)
            assert_string_not_equal((*other)->name, (*type)->name);
    }
}

static void options_are_taken_in(void **state)
{
    const struct policy_type *type;
    struct policy_config config;
    struct policy_error error;

    assert_ok(policy_parse("wsclock", &type, &config, &error));
    assert_int_equal(config.options[TAU], 100000);
    assert_int_equal(config.options[LOAD], 1);
    assert_ok(policy_parse("wsclock:load=clear,tau=5", &type, &config, &error));
    assert_string_equal(type->name, "wsclock");
    assert_int_equal(config.options[TAU], 5);
    assert_int_equal(config.options[LOOK], 32);
    assert_int_equal(config.options[LOAD], 0);
    assert_ok(policy_parse("wsclock:tau=0", &type, &config, &error));
    assert_int_equal(config.options[TAU], 0);
    assert_ok(policy_parse("wsclock:tau=1073741824,tau=7", &type, &config, &error));
    assert_int_equal(config.options[TAU], 7);
}

/* The part of the text that is wrong, and what was expected there. */
static void mistakes_are_pointed_at(void **state)
{
    static const struct {
        const char *text, *wrong, *expected;
    } cases[] = {
        {"", "", "name of a policy"},
        {"clok", "clok", "name of a policy"},
        {"clok:load=set", "clok", "name of a policy"},
        {":load=set", "", "name of a policy"},
        {"clock,fifo", "clock,fifo", "name of a policy"},
        {"clock:", "", "option of this policy"},
        {"fifo:load=set", "load=set", "option of this policy"},
        {"clock:loa=set", "loa=set", "option of this policy"},
        {"clock:load=set,", "", "option of this policy"},
        {"clock:load=set,,", "", "option of this policy"},
        {"clock:load", "load", "clear set"},
        {"clock:load=", "load=", "clear set"},
        {"clock:load=se", "load=se", "clear set"},
        {"clock:load=1", "load=1", "clear set"},
        {"wsclock:look=8,tau=-1", "tau=-1", "number"},
        {"wsclock:tau=", "tau=", "number"},
        {"wsclock:tau=5k", "tau=5k", "number"},
        {"wsclock:tau=1073741825", "tau=1073741825", "number"},
        {"wsclock:tau=18446744073709551616", "tau=18446744073709551616", "number"},
        {"wsclock:tau=18446744073709551620", "tau=18446744073709551620", "number"},
        {"wsclock:look=0", "look=0", "number"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct policy_type *type;
        struct policy_config config;
        struct policy_error error;

        assert_status(policy_parse(cases[i].text, &type, &config, &error), ST_INVALID);
        assert_true(error.at + error.length <= strlen(cases[i].text));
        assert_int_equal(error.length, strlen(cases[i].wrong));
        assert_memory_equal(cases[i].text + error.at, cases[i].wrong, error.length);
        if (!strstr(error.expected, cases[i].expected))
            fail_msg("%s: got '%s', expected '%s'", cases[i].text, error.expected, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_whole),
        cmocka_unit_test(every_name_is_there_once),
        cmocka_unit_test(options_are_taken_in),
        cmocka_unit_test(mistakes_are_pointed_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
