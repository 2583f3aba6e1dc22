use crate::abi::{self, TokenScore};
use crate::error::{check, Error, Result};
use crate::model::{Sequence, Token};
use crate::sampling::Sampler;

/// One sequence's part in a step.
pub struct Step<'a> {
    pub sequence: &'a mut Sequence,
    /// Appended and computed first.
    pub tokens: &'a [Token],
    /// None: draw nothing.
    pub sampler: Option<&'a Sampler>,
    /// Tokens at the sequence's end that this sampler drew before.
    pub n_drawn: u32,
    /// Guesses of what will be drawn; those the sampler would have drawn are kept.
    pub drafts: &'a [Token],
    /// Best scores wanted after the last token, at most 64.
    pub n_top: usize,
    /// The drawn token's log-probability is wanted too.
    pub logprob: bool,
}

const LOGPROB: u32 = 1;

#[derive(Clone, Debug, Default)]
pub struct Stepped {
    /// Not yet part of the sequence; with its log-probability, NaN unless that was asked for.
    pub drawn: Option<(Token, f32)>,
    pub n_accepted: usize,
    pub top: Vec<TokenScore>,
    /// Tokens of the sequence after the step.
    pub length: usize,
}

/// One step of several sequences together; each has its own result.
pub fn step(parts: &mut [Step<'_>]) -> Result<Vec<Result<Stepped>>> {
    let mut tops: Vec<Vec<TokenScore>> =
        parts.iter().map(|part| vec![TokenScore::default(); part.n_top]).collect();
    let mut items: Vec<abi::StepItem> = parts
        .iter()
        .zip(&mut tops)
        .map(|(part, top)| abi::StepItem {
            sequence: part.sequence.0 .0,
            sampler: part.sampler.map_or(0, |sampler| sampler.0 .0),
            n_drawn: part.n_drawn,
            n_tokens: part.tokens.len() as u32,
            tokens: part.tokens.as_ptr() as u64,
            drafts: part.drafts.as_ptr() as u64,
            n_drafts: part.drafts.len() as u32,
            n_top: part.n_top as u32,
            flags: if part.logprob { LOGPROB } else { 0 },
            top: top.as_mut_ptr() as u64,
            ..abi::StepItem::default()
        })
        .collect();
    check(unsafe { abi::step(items.as_mut_ptr(), items.len()) })?;
    Ok(items.iter().zip(tops).zip(parts).map(|((item, top), part)| stepped(item, top, part)).collect())
}

fn stepped(item: &abi::StepItem, mut top: Vec<TokenScore>, part: &Step<'_>) -> Result<Stepped> {
    if item.status < 0 {
        return Err(check(item.status).err().unwrap_or_else(|| Error::new("the step failed")));
    }
    top.truncate(item.n_top_out as usize);
    Ok(Stepped {
        drawn: part.sampler.map(|_| (item.token, item.logprob)),
        n_accepted: item.n_accepted as usize,
        top,
        length: item.n_length as usize,
    })
}
