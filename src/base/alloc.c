#include "base/alloc.h"

#include "base/checked.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* One cache line before every block, so that the block itself is aligned. */
struct alloc_header {
    size_t n_bytes;
    uint32_t purpose;
    uint32_t magic; /* tells a block of ours from a stray pointer or a block freed twice */
};

#define HEADER_BYTES    ALLOC_ALIGNMENT
#define MAGIC_LIVE      0xA110CA7Eu
#define MAGIC_FREED     0xDEADB10Cu
#define HUGE_PAGE_BYTES ((size_t)2 * 1024 * 1024)
#define PAGE_BYTES      ((size_t)4096)

_Static_assert(sizeof(struct alloc_header) <= HEADER_BYTES, "the header does not fit");

static const char *const purpose_names[] = {
    [ALLOC_BASE] = "base",
    [ALLOC_MODEL] = "model",
    [ALLOC_WEIGHTS] = "weights",
    [ALLOC_KV] = "kv",
    [ALLOC_SCRATCH] = "scratch",
    [ALLOC_ENGINE] = "engine",
    [ALLOC_REQUEST] = "request",
    [ALLOC_SERVER] = "server",
    [ALLOC_GUEST] = "guest",
    [ALLOC_TEST] = "test",
};
_Static_assert(sizeof(purpose_names) / sizeof(purpose_names[0]) == ALLOC_N_PURPOSES,
               "a purpose has no name");

static _Atomic uint64_t held_bytes[ALLOC_N_PURPOSES];
static _Atomic uint64_t n_attempts;
static _Atomic uint64_t fail_from = UINT64_MAX;

/* Counts the attempt; false: a test wants this one to fail. */
static bool attempt_allowed(void)
{
    const uint64_t index = atomic_fetch_add_explicit(&n_attempts, 1, memory_order_relaxed);
    return index < atomic_load_explicit(&fail_from, memory_order_relaxed);
}

static void count_held(uint32_t purpose, size_t n_bytes)
{
    atomic_fetch_add_explicit(&held_bytes[purpose], n_bytes, memory_order_relaxed);
}

static void count_given_up(uint32_t purpose, size_t n_bytes)
{
    atomic_fetch_sub_explicit(&held_bytes[purpose], n_bytes, memory_order_relaxed);
}

static struct alloc_header *header_of(void *block)
{
    return (struct alloc_header *)(void *)((char *)block - HEADER_BYTES);
}

void *alloc_bytes(enum alloc_purpose purpose, size_t n_bytes)
{
    size_t total;
    if (!attempt_allowed() || !checked_add_size(n_bytes, HEADER_BYTES, &total) ||
        total > PTRDIFF_MAX) {
        return NULL;
    }
    void *memory = NULL;
    /* Not aligned_alloc: it may want whole multiples, and then the sanitizers would not see a
     * write just behind the block. */
    if (posix_memalign(&memory, ALLOC_ALIGNMENT, total) != 0) {
        return NULL;
    }
    struct alloc_header *header = memory;
    header->n_bytes = n_bytes;
    header->purpose = (uint32_t)purpose;
    header->magic = MAGIC_LIVE;
    count_held(header->purpose, n_bytes);
    return (char *)memory + HEADER_BYTES;
}

void *alloc_zeroed(enum alloc_purpose purpose, size_t count, size_t size)
{
    size_t n_bytes;
    if (!checked_mul_size(count, size, &n_bytes)) {
        return NULL;
    }
    void *block = alloc_bytes(purpose, n_bytes);
    if (block != NULL) {
        memset(block, 0, n_bytes);
    }
    return block;
}

void *alloc_resize(enum alloc_purpose purpose, void *block, size_t n_bytes)
{
    void *grown = alloc_bytes(purpose, n_bytes);
    if (grown == NULL || block == NULL) {
        return grown;
    }
    const size_t old_bytes = header_of(block)->n_bytes;
    memcpy(grown, block, old_bytes < n_bytes ? old_bytes : n_bytes);
    alloc_free(block);
    return grown;
}

char *alloc_string(enum alloc_purpose purpose, const char *text, size_t n_bytes)
{
    size_t total;
    if (!checked_add_size(n_bytes, 1, &total)) {
        return NULL;
    }
    char *copy = alloc_bytes(purpose, total);
    if (copy == NULL) {
        return NULL;
    }
    if (n_bytes > 0) {
        memcpy(copy, text, n_bytes);
    }
    copy[n_bytes] = '\0';
    return copy;
}

void alloc_free(void *block)
{
    if (block == NULL) {
        return;
    }
    struct alloc_header *header = header_of(block);
    if (!REALM_INVARIANT(header->magic == MAGIC_LIVE)) {
        return;
    }
    header->magic = MAGIC_FREED;
    count_given_up(header->purpose, header->n_bytes);
    free(header);
}

/* Whole pages; false: overflow. */
static bool mapped_bytes(size_t n_bytes, size_t *out)
{
    uint64_t rounded;
    return checked_align_up_u64(n_bytes == 0 ? 1 : n_bytes, PAGE_BYTES, &rounded) &&
           checked_narrow_size(rounded, out);
}

void *alloc_pages(enum alloc_purpose purpose, size_t n_bytes)
{
    size_t length;
    size_t reserved;
    if (!attempt_allowed() || !mapped_bytes(n_bytes, &length)) {
        return NULL;
    }
    const size_t slack = length >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
    if (!checked_add_size(length, slack, &reserved)) {
        return NULL;
    }
    char *start = mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    if (slack != 0) {
        /* Huge pages need their own alignment: map more, then give back both ends. */
        const size_t head =
            (HUGE_PAGE_BYTES - (uintptr_t)start % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
        if (head != 0) {
            (void)munmap(start, head);
        }
        (void)munmap(start + head + length, slack - head);
        start += head;
        (void)madvise(start, length, MADV_HUGEPAGE); /* a wish; without it we are only slower */
    }
    count_held((uint32_t)purpose, n_bytes);
    return start;
}

void alloc_pages_free(enum alloc_purpose purpose, void *block, size_t n_bytes)
{
    size_t length;
    if (block == NULL || !mapped_bytes(n_bytes, &length)) {
        return;
    }
    (void)munmap(block, length);
    count_given_up((uint32_t)purpose, n_bytes);
}

uint64_t alloc_held_bytes(enum alloc_purpose purpose)
{
    return atomic_load_explicit(&held_bytes[purpose], memory_order_relaxed);
}

uint64_t alloc_count(void)
{
    return atomic_load_explicit(&n_attempts, memory_order_relaxed);
}

const char *alloc_purpose_name(enum alloc_purpose purpose)
{
    return (size_t)purpose < ALLOC_N_PURPOSES ? purpose_names[purpose] : "unknown";
}

void alloc_fail_after(uint64_t n)
{
    uint64_t first;
    if (!checked_add_u64(alloc_count(), n, &first)) {
        first = UINT64_MAX;
    }
    atomic_store_explicit(&fail_from, first, memory_order_relaxed);
}
