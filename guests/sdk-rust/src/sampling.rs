use crate::abi;
use crate::error::{check, Result};
use crate::handle::Handle;
use crate::json::Value;
use crate::model::{Model, Token};
use std::rc::Rc;

/// How tokens are drawn; zero is "off" in every field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    /// 0: greedy
    pub temperature: f32,
    pub top_p: f32,
    pub min_p: f32,
    pub typical_p: f32,
    pub top_k: u32,
    pub repetition_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    /// 0: the request's
    pub seed: u64,
    /// Other numbers from the same seed, for one sequence of several.
    pub stream: u32,
}

impl Sampling {
    /// As the request wants it, with the API's defaults.
    pub fn of_request(request: &Value) -> Sampling {
        let number = |name: &str, otherwise: f64| request[name].as_f64().unwrap_or(otherwise) as f32;
        Sampling {
            temperature: number("temperature", 1.0),
            top_p: number("top_p", 0.0),
            min_p: number("min_p", 0.0),
            typical_p: number("typical_p", 0.0),
            top_k: request["top_k"].as_u64().unwrap_or(0) as u32,
            repetition_penalty: number("repetition_penalty", 0.0),
            presence_penalty: number("presence_penalty", 0.0),
            frequency_penalty: number("frequency_penalty", 0.0),
            seed: request["seed"].as_u64().unwrap_or(0),
            stream: 0,
        }
    }

    pub fn sampler(&self) -> Result<Sampler> {
        let options = abi::GuestSampler {
            size: std::mem::size_of::<abi::GuestSampler>() as u32,
            temperature: self.temperature,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            top_k: self.top_k,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            stream: self.stream,
            ..abi::GuestSampler::default()
        };
        let size = std::mem::size_of_val(&options);
        Handle::of(unsafe { abi::sampler_create(&options, size) }).map(|handle| Sampler(Rc::new(handle)))
    }
}

/// May serve many sequences.
#[derive(Clone, Debug)]
pub struct Sampler(pub(crate) Rc<Handle>);

impl Sampler {
    /// Added to the logits of these tokens; -100 or less bans.  Replaces what was there.
    pub fn bias(&self, biases: &[(Token, f32)]) -> Result<()> {
        let tokens: Vec<Token> = biases.iter().map(|bias| bias.0).collect();
        let values: Vec<f32> = biases.iter().map(|bias| bias.1).collect();
        check(unsafe { abi::sampler_bias(self.0 .0, tokens.as_ptr(), values.as_ptr(), tokens.len()) })
            .map(|_| ())
    }
}

/// What a generation's text must satisfy; begins anew with every generation.
#[derive(Clone, Debug)]
pub struct Matcher(pub(crate) Rc<Handle>);

impl Matcher {
    fn create(model: &Model, kind: i32, text: &str) -> Result<Matcher> {
        Handle::of(unsafe { abi::matcher_create(model.0 .0, kind, text.as_ptr(), text.len()) })
            .map(|handle| Matcher(Rc::new(handle)))
    }

    pub fn json_schema(model: &Model, schema: &Value) -> Result<Matcher> {
        Matcher::create(model, 0, &schema.to_string())
    }

    pub fn regex(model: &Model, regex: &str) -> Result<Matcher> {
        Matcher::create(model, 1, regex)
    }

    pub fn lark(model: &Model, grammar: &str) -> Result<Matcher> {
        Matcher::create(model, 2, grammar)
    }
}
