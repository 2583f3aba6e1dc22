/* The ring between engine and reader: nothing lost, nothing torn, full means refused. */
#include "base/thread.h"
#include "engine/event_ring.h"
#include "support/cmocka_all.h"

static struct event token_event(token_id token, const char *text, size_t n_bytes)
{
    return (struct event){.kind = EVENT_TOKEN,
                          .token = token,
                          .text = {.data = (const uint8_t *)text, .length = n_bytes}};
}

static void what_is_pushed_is_read_in_order_with_its_text(void **state)
{
    (void)state;
    struct event_ring ring;
    assert_int_equal(event_ring_init(&ring, 64, 2, 8, NULL), REALM_OK);
    const struct sampler_logprob top[2] = {{.token = 5, .logprob = -0.5f},
                                           {.token = 6, .logprob = -1.5f}};
    struct event event = token_event(7, "hello", 5);
    event.n_top = 2;
    event.top = top;
    event.logprob = -0.25f;
    assert_true(event_ring_push(&ring, &event));
    event = (struct event){.kind = EVENT_FINISHED,
                           .finish = REALM_FINISH_ERROR,
                           .status = REALM_INTERNAL,
                           .message = "no finite logit"};
    assert_true(event_ring_push(&ring, &event));

    struct event out;
    assert_true(event_ring_next(&ring, &out));
    assert_int_equal(out.token, 7);
    assert_memory_equal(out.text.data, "hello", 5);
    assert_int_equal(out.n_top, 2);
    assert_int_equal(out.top[1].token, 6);
    assert_true(out.top[1].logprob == -1.5f && out.logprob == -0.25f);
    assert_true(event_ring_next(&ring, &out));
    assert_int_equal(out.kind, EVENT_FINISHED);
    assert_string_equal(out.message, "no finite logit");
    assert_false(event_ring_next(&ring, &out));
    assert_true(event_ring_empty(&ring));
    event_ring_deinit(&ring);
}

static void the_room_told_is_there_at_every_position(void **state)
{
    (void)state;
    struct event_ring ring;
    assert_int_equal(event_ring_init(&ring, 1000, 0, 8, NULL), REALM_OK);
    char text[1000];
    memset(text, 'x', sizeof text);
    struct event out;
    uint32_t pushed = 0;
    uint32_t read = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        const size_t room = event_ring_room(&ring);
        for (size_t i = 0; i < room; i++) {
            const struct event event = token_event(pushed++, text, (round * 37 + i) % 1001);
            assert_true(event_ring_push(&ring, &event));
        }
        const uint32_t n_read = round % 5;
        for (uint32_t i = 0; i < n_read && event_ring_next(&ring, &out); i++) {
            assert_int_equal(out.token, read++);
        }
    }
    while (event_ring_next(&ring, &out)) {
        assert_int_equal(out.token, read++);
    }
    assert_int_equal(read, pushed);
    assert_true(pushed > 2000);
    event_ring_deinit(&ring);
}

static void a_full_ring_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct event_ring ring;
    assert_int_equal(event_ring_init(&ring, 100, 0, 1, NULL), REALM_OK);
    uint32_t pushed = 0;
    struct event event = token_event(0, "0123456789", 10);
    while (event_ring_push(&ring, &event)) {
        event.token = ++pushed;
    }
    struct event out;
    uint32_t read = 0;
    while (event_ring_next(&ring, &out)) {
        assert_int_equal(out.token, read++);
        assert_memory_equal(out.text.data, "0123456789", 10);
    }
    assert_int_equal(read, pushed);
    event_ring_deinit(&ring);
}

#define N_EXCHANGED 200000u

static void write_many(void *context)
{
    struct event_ring *const ring = context;
    char text[64];
    for (uint32_t i = 0; i < N_EXCHANGED;) {
        memset(text, (int)('a' + i % 26), sizeof text);
        const struct event event = token_event(i, text, i % 65);
        if (event_ring_push(ring, &event)) {
            i++;
        }
    }
}

static void two_threads_lose_and_tear_nothing(void **state)
{
    (void)state;
    struct event_ring ring;
    struct thread thread = {.started = false};
    assert_int_equal(event_ring_init(&ring, 64, 0, 4, NULL), REALM_OK);
    assert_int_equal(thread_start(&thread, "writer", write_many, &ring, NULL), REALM_OK);
    for (uint32_t i = 0; i < N_EXCHANGED;) {
        struct event out;
        if (!event_ring_next(&ring, &out)) {
            continue;
        }
        assert_int_equal(out.token, i);
        assert_int_equal(out.text.length, i % 65);
        for (size_t c = 0; c < out.text.length; c++) {
            assert_int_equal(out.text.data[c], 'a' + i % 26);
        }
        i++;
    }
    thread_join(&thread);
    event_ring_deinit(&ring);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    struct event_ring ring;
    struct realm_error error;
    assert_int_equal(event_ring_init(&ring, SIZE_MAX / 4, 0, 1000, &error), REALM_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pushed_is_read_in_order_with_its_text),
        cmocka_unit_test(the_room_told_is_there_at_every_position),
        cmocka_unit_test(a_full_ring_refuses_and_keeps_what_it_has),
        cmocka_unit_test(two_threads_lose_and_tear_nothing),
        cmocka_unit_test(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
