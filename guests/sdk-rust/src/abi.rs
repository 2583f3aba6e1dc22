//! The calls of `realm_v1` as they are; `include/realm_guest.h` and `docs/formats/guest-abi.md` tell
//! of each.  The rest of the crate is what a program should use.

pub const BODY: i32 = 0;
pub const META: i32 = 1;

pub const EMIT_TEXT: i32 = 0;
pub const EMIT_EVENT: i32 = 1;
pub const EMIT_RESULT: i32 = 2;

pub const TEXT_ADD_SPECIAL: i32 = 1;
pub const TEXT_PARSE_SPECIAL: i32 = 2;
pub const TEXT_SHOW_SPECIAL: i32 = 4;

pub const GENERATE_IGNORE_END: u32 = 1;
pub const GENERATE_ECHO_SPECIAL: u32 = 2;
pub const GENERATE_LOGPROBS: u32 = 4;

pub const MAX_TOP_LOGPROBS: usize = 20;

/// A token and the model's own log-probability of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenScore {
    pub token: u32,
    pub score: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct GuestSampler {
    pub size: u32,
    pub temperature: f32,
    pub top_p: f32,
    pub min_p: f32,
    pub typical_p: f32,
    pub top_k: u32,
    pub repetition_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    pub penalty_window: u32,
    pub dry_multiplier: f32,
    pub dry_base: f32,
    pub dry_allowed_length: u32,
    pub dry_window: u32,
    pub mirostat: u32,
    pub mirostat_tau: f32,
    pub mirostat_eta: f32,
    pub stream: u32,
    pub seed: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct GenerateOptions {
    pub size: u32,
    pub sampler: i32,
    pub matcher: i32,
    pub max_tokens: u32,
    pub min_tokens: u32,
    pub flags: u32,
    pub n_top_logprobs: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct StreamEvent {
    pub kind: u32,
    pub token: u32,
    pub logprob: f32,
    pub finish: u32,
    pub n_prompt_tokens: u32,
    pub n_cached_tokens: u32,
    pub n_completion_tokens: u32,
    pub n_text: u32,
    pub n_top: u32,
    pub reserved: u32,
    pub top: [TokenScore; MAX_TOP_LOGPROBS],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct StepItem {
    pub sequence: i32,
    pub sampler: i32,
    pub n_drawn: u32,
    pub n_tokens: u32,
    pub tokens: u64,
    pub drafts: u64,
    pub n_drafts: u32,
    pub n_top: u32,
    pub flags: u32,
    pub reserved: u32,
    pub top: u64,
    pub status: i32,
    pub token: u32,
    pub logprob: f32,
    pub n_accepted: u32,
    pub n_top_out: u32,
    pub n_length: u32,
}

/// What this request has used and may still use.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub fuel_left: u64,
    pub host_calls_left: u64,
    pub output_bytes_left: u64,
    pub handles_left: u64,
    pub kv_bytes_left: u64,
}

#[link(wasm_import_module = "realm_v1")]
extern "C" {
    pub fn request_read(part: i32, out: *mut u8, capacity: usize) -> i32;
    pub fn emit(kind: i32, data: *const u8, n: usize) -> i32;
    pub fn recv(out: *mut u8, capacity: usize, timeout_ms: i32) -> i32;
    pub fn last_error(out: *mut u8, capacity: usize) -> i32;
    pub fn model_open(name: *const u8, n: usize) -> i32;
    pub fn model_info(model: i32, out: *mut u8, capacity: usize) -> i32;
    pub fn tokenize(model: i32, text: *const u8, n: usize, flags: i32, out: *mut u32, capacity: usize)
        -> i32;
    pub fn detokenize(
        model: i32,
        tokens: *const u32,
        n: usize,
        flags: i32,
        out: *mut u8,
        capacity: usize,
    ) -> i32;
    pub fn apply_template(model: i32, json: *const u8, n: usize, out: *mut u8, capacity: usize) -> i32;
    pub fn sequence_create(model: i32) -> i32;
    pub fn sequence_append(sequence: i32, tokens: *const u32, n: usize) -> i32;
    pub fn sequence_append_text(sequence: i32, text: *const u8, n: usize, flags: i32) -> i32;
    pub fn sequence_fork(sequence: i32) -> i32;
    pub fn sequence_truncate(sequence: i32, n_tokens: i32) -> i32;
    pub fn sequence_read(sequence: i32, out: *mut u32, capacity: usize) -> i32;
    pub fn sequence_save(sequence: i32, name: *const u8, n: usize) -> i32;
    pub fn sequence_open(model: i32, name: *const u8, n: usize) -> i32;
    pub fn adapter_open(model: i32, name: *const u8, n: usize) -> i32;
    pub fn sequence_set_adapter(sequence: i32, adapter: i32) -> i32;
    pub fn drop(handle: i32) -> i32;
    pub fn sampler_create(options: *const GuestSampler, size: usize) -> i32;
    pub fn sampler_bias(sampler: i32, tokens: *const u32, biases: *const f32, n: usize) -> i32;
    pub fn matcher_create(model: i32, kind: i32, text: *const u8, n: usize) -> i32;
    pub fn generate(
        sequence: i32,
        options: *const GenerateOptions,
        size: usize,
        stops: *const u8,
        n: usize,
    ) -> i32;
    pub fn stream_next(
        stream: i32,
        event: *mut StreamEvent,
        size: usize,
        text: *mut u8,
        capacity: usize,
        timeout_ms: i32,
    ) -> i32;
    pub fn stream_pipe(stream: i32, event: *mut StreamEvent, size: usize) -> i32;
    pub fn stream_wait(streams: *const i32, n: usize, timeout_ms: i32) -> i32;
    pub fn step(items: *mut StepItem, n: usize) -> i32;
    pub fn embed(model: i32, tokens: *const u32, n: usize, out: *mut f32, capacity: usize) -> i32;
    pub fn invoke(
        program: *const u8,
        n_program: usize,
        function: *const u8,
        n_function: usize,
        request: *const u8,
        n_request: usize,
    ) -> i32;
    pub fn kv_get(key: *const u8, n_key: usize, out: *mut u8, capacity: usize) -> i32;
    pub fn kv_set(key: *const u8, n_key: usize, value: *const u8, n_value: usize) -> i32;
    pub fn kv_delete(key: *const u8, n_key: usize) -> i32;
    pub fn kv_list(prefix: *const u8, n_prefix: usize, out: *mut u8, capacity: usize) -> i32;
    pub fn random(out: *mut u8, n: usize) -> i32;
    pub fn clock_ms() -> i64;
    pub fn log(level: i32, text: *const u8, n: usize) -> i32;
    pub fn usage(out: *mut Usage, size: usize) -> i32;
}
