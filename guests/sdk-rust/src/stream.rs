use crate::abi::{self, StreamEvent, TokenScore};
use crate::error::{check, Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::json::Value;
use crate::model::{Sequence, Token};
use crate::sampling::{Matcher, Sampler, Sampling};

/// What is to be generated; the default is greedy, to the end the model finds.
#[derive(Clone, Debug, Default)]
pub struct Generate {
    pub sampler: Option<Sampler>,
    pub matcher: Option<Matcher>,
    /// 0: what the context leaves
    pub max_tokens: u32,
    /// End tokens are not drawn before.
    pub min_tokens: u32,
    pub ignore_end: bool,
    pub logprobs: bool,
    /// At most 20, with `logprobs`.
    pub n_top_logprobs: u32,
    pub stops: Vec<String>,
}

impl Generate {
    /// Sampler, length and stop strings as the request has them.
    pub fn of_request(request: &Value) -> Result<Generate> {
        let limit = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| request[*name].as_u64());
        let stop = &request["stop"];
        let stops = stop.items().iter().chain(Some(stop)).filter_map(Value::as_str);
        Ok(Generate {
            sampler: Some(Sampling::of_request(request).sampler()?),
            max_tokens: limit.unwrap_or(0).min(u32::MAX as u64) as u32,
            stops: stops.map(str::to_string).collect(),
            ..Generate::default()
        })
    }

    pub(crate) fn start(&self, sequence: &Sequence) -> Result<Stream> {
        let mut flags = 0;
        if self.ignore_end {
            flags |= abi::GENERATE_IGNORE_END;
        }
        if self.logprobs {
            flags |= abi::GENERATE_LOGPROBS;
        }
        let options = abi::GenerateOptions {
            size: std::mem::size_of::<abi::GenerateOptions>() as u32,
            sampler: self.sampler.as_ref().map_or(0, |sampler| sampler.0 .0),
            matcher: self.matcher.as_ref().map_or(0, |matcher| matcher.0 .0),
            max_tokens: self.max_tokens,
            min_tokens: self.min_tokens,
            flags,
            n_top_logprobs: self.n_top_logprobs,
        };
        let stops: String = self.stops.iter().flat_map(|stop| [stop.as_str(), "\0"]).collect();
        let size = std::mem::size_of_val(&options);
        Handle::of(unsafe { abi::generate(sequence.0 .0, &options, size, stops.as_ptr(), stops.len()) })
            .map(Stream)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end token, a stop string, or the matcher is satisfied.
    Stop,
    Length,
    Cancelled,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The prompt has been computed, `n_cached_tokens` of it before.
    Started { n_prompt_tokens: usize, n_cached_tokens: usize },
    /// A token, and the text that may be shown now.
    Token { token: Token, text: String, logprob: f32, top: Vec<TokenScore> },
    /// Of `invoke`: what the other program emitted.
    Output { kind: OutputKind, text: String },
    /// The last one, with the text that was held back.
    Finished { finish: Finish, text: String, n_completion_tokens: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    Text,
    Event,
    Result,
}

/// Events of a generation or of another program.  Dropping it cancels what still runs.
#[derive(Debug)]
pub struct Stream(pub(crate) Handle);

impl Stream {
    /// The next event; none after the last.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        let mut event = StreamEvent::default();
        let mut text = vec![0u8; 256];
        loop {
            let size = std::mem::size_of_val(&event);
            let result = check(unsafe {
                abi::stream_next(self.0 .0, &mut event, size, text.as_mut_ptr(), text.len(), -1)
            });
            match result {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind == ErrorKind::TooLarge => text.resize(event.n_text as usize, 0),
                Err(error) => return Err(error),
            }
        }
        text.truncate(event.n_text as usize);
        event_of(&event, String::from_utf8_lossy(&text).into_owned()).map(Some)
    }

    /// Emits all text to the client as it comes, without waking the program for each token.
    pub fn pipe(self) -> Result<Finish> {
        let mut event = StreamEvent::default();
        let size = std::mem::size_of_val(&event);
        check(unsafe { abi::stream_pipe(self.0 .0, &mut event, size) })?;
        finish_of(event.finish)
    }

    /// Waits for the end of one generation.
    pub fn collect(self) -> Result<Generation> {
        collect_all(vec![self]).map(|mut all| all.remove(0))
    }
}

impl Iterator for Stream {
    type Item = Result<Event>;
    fn next(&mut self) -> Option<Result<Event>> {
        self.next_event().transpose()
    }
}

fn finish_of(finish: u32) -> Result<Finish> {
    match finish {
        1 => Ok(Finish::Stop),
        2 => Ok(Finish::Length),
        3 => Ok(Finish::Cancelled),
        _ => Err(check(-11).err().unwrap_or_else(|| Error::new("the generation failed"))),
    }
}

fn event_of(event: &StreamEvent, text: String) -> Result<Event> {
    Ok(match event.kind {
        0 => Event::Started {
            n_prompt_tokens: event.n_prompt_tokens as usize,
            n_cached_tokens: event.n_cached_tokens as usize,
        },
        1 => Event::Token {
            token: event.token,
            text,
            logprob: event.logprob,
            top: event.top[..(event.n_top as usize).min(event.top.len())].to_vec(),
        },
        3 => Event::Output {
            kind: match event.token {
                0 => OutputKind::Text,
                1 => OutputKind::Event,
                _ => OutputKind::Result,
            },
            text,
        },
        _ => Event::Finished {
            finish: finish_of(event.finish)?,
            text,
            n_completion_tokens: event.n_completion_tokens as usize,
        },
    })
}

/// A generation that has ended.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    pub text: String,
    pub tokens: Vec<Token>,
    /// Of each token, where `Generate::logprobs` asked for them.
    pub logprobs: Vec<f32>,
    pub n_prompt_tokens: usize,
    /// Of the prompt, not computed anew.
    pub n_cached_tokens: usize,
    pub finish: Option<Finish>,
}

impl Generation {
    /// Per token; 0 where there is none.
    pub fn mean_logprob(&self) -> f64 {
        let sum: f64 = self.logprobs.iter().map(|logprob| *logprob as f64).sum();
        sum / self.logprobs.len().max(1) as f64
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Started { n_prompt_tokens, n_cached_tokens } => {
                self.n_prompt_tokens = n_prompt_tokens;
                self.n_cached_tokens = n_cached_tokens;
            }
            Event::Token { token, text, logprob, .. } => {
                self.tokens.push(token);
                self.logprobs.push(logprob);
                self.text.push_str(&text);
            }
            Event::Output { text, .. } => self.text.push_str(&text),
            Event::Finished { finish, text, .. } => {
                self.text.push_str(&text);
                self.finish = Some(finish);
            }
        }
    }
}

/// Waits until one of the streams has an event or has ended; its index.
pub fn wait_any(streams: &[&Stream]) -> Result<usize> {
    let handles: Vec<i32> = streams.iter().map(|stream| stream.0 .0).collect();
    check(unsafe { abi::stream_wait(handles.as_ptr(), handles.len(), -1) })
}

/// Waits for the end of generations that run together; results in the order of the streams.
pub fn collect_all(streams: Vec<Stream>) -> Result<Vec<Generation>> {
    let mut generations = vec![Generation::default(); streams.len()];
    let mut living: Vec<(usize, Stream)> = streams.into_iter().enumerate().collect();
    while !living.is_empty() {
        let ready = wait_any(&living.iter().map(|one| &one.1).collect::<Vec<_>>())?;
        let place = living[ready].0;
        match living[ready].1.next_event()? {
            Some(event) => generations[place].take(event),
            None => drop(living.swap_remove(ready)),
        }
    }
    Ok(generations)
}
