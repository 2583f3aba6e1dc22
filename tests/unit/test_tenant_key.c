/* API keys: their form, their checksum, what is stored and shown of them. */
#include "support/cmocka_all.h"
#include "tenant/key.h"

#include <string.h>

static void make(char key[KEY_TEXT_LENGTH + 1])
{
    struct realm_error error;
    assert_int_equal(key_generate(key, &error), REALM_OK);
}

static void a_new_key_has_the_form_and_is_like_no_other(void **state)
{
    (void)state;
    char keys[50][KEY_TEXT_LENGTH + 1];
    for (size_t i = 0; i < 50; i++) {
        make(keys[i]);
        assert_int_equal(strlen(keys[i]), KEY_TEXT_LENGTH);
        assert_memory_equal(keys[i], KEY_PREFIX, 4);
        assert_int_equal(
            strspn(keys[i] + 4, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
            KEY_SECRET_LENGTH + KEY_CHECK_LENGTH);
        assert_true(key_well_formed(keys[i], KEY_TEXT_LENGTH));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(keys[i], keys[j]);
        }
    }
}

static void the_checksum_finds_every_single_mistake(void **state)
{
    (void)state;
    char key[KEY_TEXT_LENGTH + 1];
    make(key);
    for (size_t i = 0; i < KEY_TEXT_LENGTH; i++) {
        const char right = key[i];
        key[i] = right == 'x' ? 'y' : 'x';
        assert_false(key_well_formed(key, KEY_TEXT_LENGTH));
        key[i] = right;
    }
    for (size_t i = 4; i + 1 < KEY_TEXT_LENGTH; i++) { /* two that changed places */
        const char first = key[i];
        key[i] = key[i + 1];
        key[i + 1] = first;
        assert_int_equal(key_well_formed(key, KEY_TEXT_LENGTH), key[i] == key[i + 1]);
        key[i + 1] = key[i];
        key[i] = first;
    }
    assert_true(key_well_formed(key, KEY_TEXT_LENGTH));
}

static void other_lengths_are_no_keys(void **state)
{
    (void)state;
    char key[KEY_TEXT_LENGTH + 2] = {0};
    make(key);
    for (size_t n = 0; n < KEY_TEXT_LENGTH; n++) {
        assert_false(key_well_formed(key, n));
    }
    assert_false(key_well_formed(key, KEY_TEXT_LENGTH + 1));
}

static void the_hash_is_sha256_and_compares(void **state)
{
    (void)state;
    static const uint8_t of_abc[KEY_HASH_BYTES] = {/* FIPS 180-4 */
                                                   0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                                   0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                                   0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                                   0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t hash[KEY_HASH_BYTES];
    key_hash("abc", 3, hash);
    assert_memory_equal(hash, of_abc, KEY_HASH_BYTES);
    assert_true(key_hash_equal(hash, of_abc));
    for (size_t i = 0; i < KEY_HASH_BYTES; i++) {
        hash[i] ^= 1;
        assert_false(key_hash_equal(hash, of_abc));
        hash[i] ^= 1;
    }
    char id[KEY_ID_LENGTH + 1];
    key_id(hash, id);
    assert_string_equal(id, "ba7816bf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_key_has_the_form_and_is_like_no_other),
        cmocka_unit_test(the_checksum_finds_every_single_mistake),
        cmocka_unit_test(other_lengths_are_no_keys),
        cmocka_unit_test(the_hash_is_sha256_and_compares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
