#include "engine/scheduler.h"

#include "engine/generation.h"
#include "engine/held.h"

/* --- what is counted of accounts in a step, of a part and of its whole --------------------------
 */

static void count_running(struct account *account, int32_t n)
{
    for (struct account *a = account; a != NULL; a = a->whole) {
        a->step_running = (uint32_t)((int64_t)a->step_running + n);
    }
}

static void count_pages(struct account *account, int64_t n)
{
    for (struct account *a = account; a != NULL; a = a->whole) {
        a->step_pages = (uint32_t)(a->step_pages + n);
    }
}

static void count_idle_pages(struct account *account, int64_t n)
{
    for (struct account *a = account; a != NULL; a = a->whole) {
        a->step_idle_pages = (uint32_t)(a->step_idle_pages + n);
    }
}

static void forget_counts(struct account *account)
{
    for (struct account *a = account; a != NULL; a = a->whole) {
        a->step_running = 0;
        a->step_pages = 0;
        a->step_idle_pages = 0;
        a->step_decodes = false;
    }
}

void scheduler_preempt(struct engine_model *model, struct sequence *sequence)
{
    struct account *const account = sequence->generation->account;
    count_running(account, -1);
    count_pages(account, -(int64_t)page_table_n_pages(sequence->pages));
    atomic_fetch_add_explicit(&account_whole(account)->preemptions, 1, memory_order_relaxed);
    sequence_list_remove(&model->running, sequence);
    page_table_truncate(sequence->pages, 0);
    sequence->n_computed = 0;
    sequence->n_indexed = 0;
    sequence->state = SEQUENCE_WAITING;
    sequence_list_prepend(&model->waiting, sequence);
    model->n_preempted++;
}

/* --- what the step begins with ------------------------------------------------------------------
 */

/* Records the ring takes in this step, with the end of all choices always kept free. */
static void count_ring_room(struct generation *generation)
{
    const size_t room = event_ring_room(&generation->ring);
    const size_t ending = (size_t)generation->n_live + 1;
    generation->step_room = room > ending ? room - ending : 0;
}

static void begin_list(const struct sequence_list *list)
{
    for (struct sequence *s = list->first; s != NULL; s = s->next) {
        s->step_rows = 0;
        s->step_passed = false;
        forget_counts(s->generation->account);
        if (s->held != NULL) {
            held_count_ring_room(s->held);
        } else if (s->state != SEQUENCE_IDLE) {
            count_ring_room(s->generation);
        }
    }
}

static void count_idle(const struct sequence_list *list)
{
    for (struct sequence *s = list->first; s != NULL; s = s->next) {
        count_idle_pages(s->generation->account, page_table_n_pages(s->pages));
    }
}

static void begin(struct engine_model *model)
{
    model->n_picked = 0;
    model->n_picked_rows = 0;
    model->n_preempted = 0;
    model->copies.n = 0;
    model->n_draft_rows_left = MODEL_DRAFT_ROWS;
    begin_list(&model->running);
    begin_list(&model->waiting);
    begin_list(&model->idle);
    count_idle(&model->waiting);
    count_idle(&model->idle);
    for (struct sequence *s = model->running.first; s != NULL; s = s->next) {
        struct account *const account = s->generation->account;
        count_running(account, 1);
        count_pages(account, page_table_n_pages(s->pages));
        account_whole(account)->step_decodes |= s->state == SEQUENCE_DECODE;
    }
}

/* --- who ----------------------------------------------------------------------------------------
 */

static bool cap_allows(uint32_t cap, uint64_t n)
{
    return cap == 0 || n <= cap;
}

/* Pages it needs for all its text, and for its draft. */
static uint32_t n_pages_to_go(const struct sequence *s)
{
    return page_table_needs(s->pages, sequence_target(s) + s->n_draft - s->n_computed);
}

/* True: a is to be served before b.  Of two that were served alike it is the one with nothing
 * running: who comes back is lifted to the least counter of the others, and would wait for a step
 * that tells them apart. */
static bool goes_before(const struct account *a, const struct account *b)
{
    const struct account *const whole_a = account_whole_of(a);
    const struct account *const whole_b = account_whole_of(b);
    const uint32_t n_a = whole_a != whole_b ? whole_a->step_running : a->step_running;
    const uint32_t n_b = whole_a != whole_b ? whole_b->step_running : b->step_running;
    return fairness_before(a, b) || (!fairness_before(b, a) && n_a == 0 && n_b > 0);
}

/* Whether the account's caps let a waiting sequence in.  One that passes its account's cap of pages
 * alone never may. */
static bool may_enter(struct sequence *s)
{
    const uint32_t n_pages = page_table_n_pages(s->pages) + n_pages_to_go(s);
    s->page_cap_passed = !cap_allows(account_page_cap(s->generation->account), n_pages);
    for (const struct account *a = s->generation->account; a != NULL; a = a->whole) {
        if (!cap_allows(atomic_load_explicit(&a->max_running, memory_order_relaxed),
                        a->step_running + 1u) ||
            !cap_allows(atomic_load_explicit(&a->max_pages, memory_order_relaxed),
                        (uint64_t)a->step_pages + n_pages)) {
            return false;
        }
    }
    return true;
}

/* The waiting sequence that is to enter first, or NULL. */
static struct sequence *next_waiting(const struct engine_model *model)
{
    struct sequence *best = NULL;
    for (struct sequence *s = model->waiting.first; s != NULL; s = s->next) {
        if (!s->step_passed && may_enter(s) &&
            (best == NULL || goes_before(s->generation->account, best->generation->account))) {
            best = s;
        }
    }
    return best;
}

/* The running prefill that is to go on first, or NULL. */
static struct sequence *next_prefill(const struct engine_model *model)
{
    struct sequence *best = NULL;
    for (struct sequence *s = model->running.first; s != NULL; s = s->next) {
        if (s->state == SEQUENCE_PREFILL && s->step_rows == 0 && !s->step_passed &&
            (best == NULL || goes_before(s->generation->account, best->generation->account))) {
            best = s;
        }
    }
    return best;
}

/* The running sequence to give its place up first: of the account that is to be served last, the
 * youngest.  Not one that is in this step already: its rows are counted. */
static struct sequence *find_victim(const struct engine_model *model, const struct account *only)
{
    struct sequence *worst = NULL;
    for (struct sequence *s = model->running.first; s != NULL; s = s->next) {
        const struct account *const account = s->generation->account;
        if (s->step_rows == 0 && (only == NULL || account_is_of(account, only)) &&
            (worst == NULL || !fairness_before(account, worst->generation->account))) {
            worst = s;
        }
    }
    return worst;
}

/* --- pages that nobody uses now -----------------------------------------------------------------
 */

void scheduler_park(struct engine_model *model, struct sequence *sequence)
{
    if (!sequence->parked && page_table_n_pages(sequence->pages) > 0) {
        sequence->parked = true;
        sequence_list_append(&model->idle, sequence);
    }
}

void scheduler_unpark(struct engine_model *model, struct sequence *sequence)
{
    if (sequence->parked) {
        sequence->parked = false;
        sequence_list_remove(&model->idle, sequence);
    }
}

bool scheduler_may_go_on(const struct engine_model *model, const struct sequence *sequence)
{
    if (page_table_n_pages(sequence->pages) == 0 || model->running.length >= model->max_sequences) {
        return false;
    }
    for (const struct account *a = sequence->generation->account; a != NULL; a = a->whole) {
        uint32_t n_running = 0;
        for (const struct sequence *s = model->running.first; s != NULL; s = s->next) {
            n_running += account_is_of(s->generation->account, a);
        }
        if (!cap_allows(atomic_load_explicit(&a->max_running, memory_order_relaxed),
                        n_running + 1u)) {
            return false;
        }
    }
    return true;
}

/* Takes the pages of one sequence that does not run: the one idle for longest, else one that waits
 * with the pages it had.  only: of this account; NULL: of any.  False: there is none. */
static bool
reclaim(struct engine_model *model, const struct account *only, const struct sequence *except)
{
    struct sequence *s = model->idle.first;
    while (s != NULL && only != NULL && !account_is_of(s->generation->account, only)) {
        s = s->next;
    }
    struct sequence *w = s != NULL ? NULL : model->waiting.first;
    for (; w != NULL; w = w->next) {
        if (w != except && page_table_n_pages(w->pages) > 0 &&
            (only == NULL || account_is_of(w->generation->account, only))) {
            s = w;
        }
    }
    if (s == NULL) {
        return false;
    }
    scheduler_unpark(model, s);
    count_idle_pages(s->generation->account, -(int64_t)page_table_n_pages(s->pages));
    sequence_rewind(s, 0);
    return true;
}

/* Does so until n_needed pages are free, and within the account's caps, as far as it goes. */
static void
reclaim_for(struct engine_model *model, const struct sequence *sequence, uint64_t n_needed)
{
    for (const struct account *a = sequence->generation->account; a != NULL; a = a->whole) {
        const uint32_t cap = atomic_load_explicit(&a->max_pages, memory_order_relaxed);
        while (!cap_allows(cap, (uint64_t)a->step_pages + a->step_idle_pages + n_needed) &&
               reclaim(model, a, sequence)) {
        }
    }
    while (n_needed > page_pool_n_free(model->pool) && reclaim(model, NULL, sequence)) {
    }
}

/* --- rows and pages -----------------------------------------------------------------------------
 */

/* A reader that lags parks its sequence: there must be room for what this step may say, one TOKEN
 * or FINISHED record a choice, and for STARTED and DONE. */
static bool take_ring_room(struct sequence *sequence)
{
    struct generation *const generation = sequence->generation;
    if (sequence->held != NULL) {
        sequence->step_passed = !held_take_ring_room(sequence->held);
        return !sequence->step_passed;
    }
    /* The step that ends the prompt speaks for all choices at once. */
    const size_t needs = generation->started ? 3 : 3 * (size_t)generation->n_live + 1;
    if (generation->step_room < needs) {
        sequence->step_passed = true;
        return false;
    }
    generation->step_room -= needs;
    return true;
}

/* Keeps the account under its cap of pages: its other sequences go first; one that passes the cap
 * alone can never go on.  False: not in this step. */
static bool fit_account(struct engine_model *model,
                        struct sequence *sequence,
                        const struct account *account,
                        uint32_t n_needed)
{
    const uint32_t cap = atomic_load_explicit(&account->max_pages, memory_order_relaxed);
    while (!cap_allows(cap, (uint64_t)account->step_pages + n_needed)) {
        struct sequence *const victim = find_victim(model, account);
        if (victim == sequence && account->step_running == 1) {
            sequence->page_cap_passed = true;
            sequence->step_passed = true;
            return false;
        }
        if (victim == NULL) {
            return false; /* the others are in this step: the next one decides */
        }
        scheduler_preempt(model, victim);
        if (victim == sequence) {
            return false;
        }
    }
    return true;
}

/* So under the caps of its account and of that one's whole. */
static bool fit_accounts(struct engine_model *model, struct sequence *sequence, uint32_t n_needed)
{
    const struct account *a = sequence->generation->account;
    while (a != NULL && fit_account(model, sequence, a, n_needed)) {
        a = a->whole;
    }
    return a == NULL;
}

/* Reserves pages for n_rows more tokens of a running sequence, preempting others when there are too
 * few.  False: the sequence itself had to go, or it cannot get them now. */
static bool reserve(struct engine_model *model, struct sequence *sequence, uint32_t n_rows)
{
    const uint32_t n_before = page_table_n_pages(sequence->pages);
    reclaim_for(model, sequence, page_table_needs(sequence->pages, n_rows));
    if (!fit_accounts(model, sequence, page_table_needs(sequence->pages, n_rows))) {
        return false;
    }
    while (page_table_needs(sequence->pages, n_rows) > page_pool_n_free(model->pool)) {
        struct sequence *const victim = find_victim(model, NULL);
        if (victim == NULL) {
            return false;
        }
        scheduler_preempt(model, victim);
        if (victim == sequence) {
            return false;
        }
    }
    if (page_table_reserve(sequence->pages, n_rows, &model->copies, NULL) != REALM_OK) {
        return false;
    }
    count_pages(sequence->generation->account,
                (int64_t)page_table_n_pages(sequence->pages) - n_before);
    return true;
}

static uint32_t pick(struct engine_model *model, struct sequence *sequence, uint32_t n_rows)
{
    sequence->step_rows = n_rows;
    const uint32_t n_computed = sequence->n_computed + n_rows;
    const bool speaks = !sequence->quiet && n_computed >= sequence->n_tokens;
    sequence->step_n_logits = speaks ? n_computed - sequence->n_tokens + 1 : 0;
    model->n_draft_rows_left -= speaks ? sequence->step_n_logits - 1 : 0;
    model->picked[model->n_picked++] = sequence;
    model->n_picked_rows += n_rows;
    return n_rows;
}

/* Rows past the budget with which a prompt may end: its first token would wait for another step.
 * None for accounts that decode, as many again for one that has nothing else in the step: it would
 * wait for that of the others too, which take turns with it. */
static uint32_t
n_grace(const struct engine_model *model, const struct sequence *sequence, uint32_t n_rows_left)
{
    const struct account *const account = account_whole_of(sequence->generation->account);
    const uint32_t n_room = model->max_rows - model->n_picked_rows - n_rows_left;
    const bool is_alone = account->step_running <= (sequence->state != SEQUENCE_WAITING);
    const uint32_t n_grace = is_alone ? n_rows_left : n_rows_left / 2;
    if (account->step_decodes) {
        return 0;
    }
    return n_grace < n_room ? n_grace : n_room;
}

/* Rows of the sequence's next chunk.  One that does not reach its end stops at a page's end where
 * it can, so that the page is known to others and the next chunk may begin with one of theirs. */
static uint32_t
rows_left(const struct engine_model *model, const struct sequence *sequence, uint32_t n_rows_left)
{
    const uint32_t n_draft =
        sequence->n_draft < model->n_draft_rows_left ? sequence->n_draft : model->n_draft_rows_left;
    const uint32_t left = sequence_target(sequence) + n_draft - sequence->n_computed;
    if (left <= n_rows_left + n_grace(model, sequence, n_rows_left)) {
        return left;
    }
    const uint32_t part_of_page = (sequence->n_computed + n_rows_left) % PAGE_TOKENS;
    return part_of_page < n_rows_left ? n_rows_left - part_of_page : n_rows_left;
}

/* --- what is known already -----------------------------------------------------------------------
 */

static bool
find_page(const struct engine_model *model, const struct sequence *s, uint32_t i, page_id *page)
{
    return prefix_index_find(model->prefixes, &s->digests[i], page) ||
           (s->other_digests != NULL && i < s->n_prompt / PAGE_TOKENS &&
            prefix_index_find(model->prefixes, &s->other_digests[i], page));
}

/* Pages of the sequence that may be found: the last token is always computed, for its logits. */
static uint32_t n_findable(const struct sequence *s)
{
    return s->digests != NULL ? (sequence_target(s) - 1) / PAGE_TOKENS : 0;
}

/* Before a chunk: takes the pages behind what is computed that are known by now. */
static void adopt_pages(struct engine_model *model, struct sequence *s)
{
    const uint32_t n_most = n_findable(s);
    uint32_t n = s->n_computed / PAGE_TOKENS;
    page_id page;
    if (s->n_computed % PAGE_TOKENS != 0 || n >= n_most) {
        return;
    }
    sequence_extend_digests(s, n_most);
    while (n < n_most && find_page(model, s, n, &page)) {
        page_table_adopt(s->pages, page);
        n++;
    }
    s->n_indexed = n;
    s->n_computed = n * PAGE_TOKENS;
}

/* Prompt tokens that were found are not paid for. */
static void count_cached(struct sequence *s)
{
    const uint32_t n_found = s->n_computed < s->n_prompt ? s->n_computed : s->n_prompt;
    if (n_found > s->n_charged) {
        s->generation->n_cached += n_found - s->n_charged;
        s->n_charged = n_found;
    }
}

/* Whether another sequence of this step computes the page that this one needs next. */
static bool next_page_is_coming(const struct engine_model *model, const struct sequence *s)
{
    const uint32_t i = s->n_computed / PAGE_TOKENS;
    if (s->n_computed % PAGE_TOKENS != 0 || i >= n_findable(s)) {
        return false;
    }
    for (uint32_t k = 0; k < model->n_picked; k++) {
        const struct sequence *const other = model->picked[k];
        if (i < other->n_digests && other->n_computed <= i * PAGE_TOKENS &&
            other->n_computed + other->step_rows >= (i + 1) * PAGE_TOKENS &&
            memcmp(&other->digests[i], &s->digests[i], sizeof s->digests[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* --- entering -----------------------------------------------------------------------------------
 */

/* Lets a waiting sequence in, if there are pages for its whole text and one more for each that
 * runs, or it would be preempted soon.  Returns its rows; 0: not now, and if it was not passed
 * over, there is no room. */
static uint32_t enter(struct engine_model *model, struct sequence *s, uint32_t n_rows_left)
{
    const uint32_t n_pages_before = page_table_n_pages(s->pages);
    const uint32_t n_computed_before = s->n_computed;
    adopt_pages(model, s);
    if (next_page_is_coming(model, s)) {
        sequence_rewind(s, n_computed_before);
        s->step_passed = true;
        return 0;
    }
    const uint32_t needs = n_pages_to_go(s);
    const uint32_t n_rows = rows_left(model, s, n_rows_left);
    reclaim_for(model, s, (uint64_t)needs + model->running.length);
    if ((uint64_t)needs + model->running.length > page_pool_n_free(model->pool) &&
        model->running.length > 0) {
        sequence_rewind(s, n_computed_before);
        return 0;
    }
    if (page_table_reserve(s->pages, n_rows, &model->copies, NULL) != REALM_OK ||
        !take_ring_room(s)) {
        sequence_rewind(s, n_computed_before);
        return 0;
    }
    count_cached(s);
    sequence_list_remove(&model->waiting, s);
    s->state = SEQUENCE_PREFILL;
    sequence_list_append(&model->running, s);
    count_running(s->generation->account, 1);
    count_idle_pages(s->generation->account, -(int64_t)n_pages_before);
    count_pages(s->generation->account, page_table_n_pages(s->pages));
    return pick(model, s, n_rows);
}

/* An account that waits with nothing running takes the places of one that runs more than one
 * sequence and is to be served after it. */
static void make_place(struct engine_model *model)
{
    const struct sequence *const waiting = next_waiting(model);
    if (waiting == NULL || account_whole(waiting->generation->account)->step_running > 0) {
        return;
    }
    const uint32_t needs = n_pages_to_go(waiting);
    reclaim_for(model, waiting, (uint64_t)needs + model->running.length);
    while (model->running.length >= model->max_sequences ||
           needs + model->running.length > page_pool_n_free(model->pool)) {
        struct sequence *const victim = find_victim(model, NULL);
        if (victim == NULL || account_whole(victim->generation->account)->step_running < 2 ||
            !goes_before(waiting->generation->account, victim->generation->account)) {
            return;
        }
        scheduler_preempt(model, victim);
    }
}

/* --- the step -----------------------------------------------------------------------------------
 */

static bool may_decode(const struct sequence *s)
{
    return s->state == SEQUENCE_DECODE && s->step_rows == 0 && !s->step_passed;
}

/* Rows that a step of n_most rows has left for one more sequence. */
static uint32_t rows_within(const struct engine_model *model, uint32_t n_most)
{
    const bool has_place = model->n_picked < model->max_sequences;
    return has_place && n_most > model->n_picked_rows ? n_most - model->n_picked_rows : 0;
}

/* One row for each decoding sequence, oldest first, until the step has n_most rows.  before: only
 * those to be served before this account; NULL: all. */
static void pick_decoding(struct engine_model *model, uint32_t n_most, const struct account *before)
{
    struct sequence *s = model->running.first;
    while (s != NULL && rows_within(model, n_most) > 0) {
        if (!may_decode(s) ||
            (before != NULL && !fairness_before(s->generation->account, before)) ||
            !take_ring_room(s)) {
            s = s->next;
            continue;
        }
        const uint32_t n_preempted = model->n_preempted;
        const uint32_t n_rows = rows_left(model, s, rows_within(model, n_most));
        if (reserve(model, s, n_rows)) {
            pick(model, s, n_rows);
        } else if (n_preempted == model->n_preempted) {
            s->step_passed = true;
        }
        /* Preemption cuts the list: those that were picked are passed over from its beginning. */
        s = n_preempted == model->n_preempted ? s->next : model->running.first;
    }
}

/* The next chunk of a running prefill.  Returns its rows; 0: not in this step. */
static uint32_t go_on(struct engine_model *model, struct sequence *s, uint32_t n_rows_left)
{
    struct account *const account = s->generation->account;
    s->step_passed = true;
    count_pages(account, -(int64_t)page_table_n_pages(s->pages));
    adopt_pages(model, s);
    count_pages(account, page_table_n_pages(s->pages));
    count_cached(s);
    const uint32_t n_rows = rows_left(model, s, n_rows_left);
    if (next_page_is_coming(model, s) || !take_ring_room(s) || !reserve(model, s, n_rows)) {
        return 0;
    }
    return pick(model, s, n_rows);
}

/* The prompt that is to go on or to enter first, or NULL.  waiting: those that wait are asked too.
 */
static struct sequence *next_prompt(const struct engine_model *model, bool waiting)
{
    struct sequence *const goes_on = next_prefill(model);
    struct sequence *const enters = waiting ? next_waiting(model) : NULL;
    if (goes_on == NULL || enters == NULL) {
        return goes_on != NULL ? goes_on : enters;
    }
    return goes_before(enters->generation->account, goes_on->generation->account) ? enters
                                                                                  : goes_on;
}

static uint32_t pick_prompt(struct engine_model *model, struct sequence *s, uint32_t n_rows_left)
{
    return s->state == SEQUENCE_WAITING ? enter(model, s, n_rows_left)
                                        : go_on(model, s, n_rows_left);
}

/* Prompts in chunks, those that run and those that wait, in the order of fairness, until the step
 * has n_most rows.  A parked one is passed over, and so is one whose next page another one computes
 * in this step: it takes the page in the next.  One that finds too few pages holds those that wait
 * behind it, or it might wait for ever. */
static void pick_prompts(struct engine_model *model, uint32_t n_most)
{
    const uint32_t n_preempted = model->n_preempted;
    bool may_enter_now = true;
    while (rows_within(model, n_most) > 0) {
        struct sequence *const s =
            next_prompt(model, may_enter_now && model->n_preempted == n_preempted);
        if (s == NULL) {
            return;
        }
        const bool enters = s->state == SEQUENCE_WAITING;
        const uint32_t n_taken = pick_prompt(model, s, rows_within(model, n_most));
        may_enter_now = may_enter_now && (!enters || n_taken > 0 || s->step_passed);
    }
}

/* Prompts of accounts of which nothing decodes: their rows go before those of accounts behind them,
 * which decode with what the target leaves.  So a first token does not wait for many small chunks.
 * True: there was one. */
static bool pick_newcomers(struct engine_model *model, uint32_t n_target)
{
    const uint32_t n_preempted = model->n_preempted;
    bool came = false;
    while (rows_within(model, n_target) > 0) {
        struct sequence *const s = next_prompt(model, model->running.length < model->max_sequences);
        if (s == NULL || account_whole(s->generation->account)->step_decodes) {
            break;
        }
        pick_decoding(model, n_target, s->generation->account);
        const uint32_t n_rows_left = rows_within(model, n_target);
        if (n_rows_left == 0 || model->n_preempted != n_preempted ||
            pick_prompt(model, s, n_rows_left) == 0) {
            break;
        }
        came = true;
    }
    return came;
}

static bool somebody_decodes(const struct engine_model *model)
{
    const struct sequence *s = model->running.first;
    while (s != NULL && !may_decode(s)) {
        s = s->next;
    }
    return s != NULL;
}

/* A little is always done for prompts, however many decode. */
static uint32_t n_most_beside_decoding(const struct engine_model *model, uint32_t n_target)
{
    const uint32_t n_least = model->n_picked_rows + PACE_MIN_ROWS;
    const uint32_t n_most = n_target > n_least ? n_target : n_least;
    return n_most < model->max_rows ? n_most : model->max_rows;
}

/* A newcomer has waited for the end of a step already: its own takes what decodes, within half a
 * step of rows, and no more prompts than a short one has room for. */
static uint32_t n_most_beside_newcomers(const struct engine_model *model, uint32_t n_target)
{
    const uint32_t n_most = model->n_picked_rows + n_target / 2;
    return n_most < n_target ? n_most : n_target;
}

uint32_t scheduler_pick(struct engine_model *model)
{
    begin(model);
    make_place(model);
    const uint32_t n_made_place = model->n_preempted;
    const uint32_t n_target = pace_rows(&model->pace, model->itl_target_ns, model->max_rows);
    uint32_t n_most = model->max_rows;
    if (somebody_decodes(model)) {
        /* Who stood back in the last step does not do so in this one. */
        const bool came = !model->stood_back && pick_newcomers(model, n_target);
        pick_decoding(
            model, came ? n_most_beside_newcomers(model, n_target) : model->max_rows, NULL);
        model->stood_back = came && somebody_decodes(model);
        n_most = came ? n_target / 2 : n_most_beside_decoding(model, n_target);
    }
    /* Where pages were short, nobody new comes in. */
    if (model->n_preempted == n_made_place) {
        pick_prompts(model, n_most);
    }
    return model->n_preempted;
}
