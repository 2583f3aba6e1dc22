//! Tree of thoughts (Yao et al. 2023): grows several next thoughts of each line of thinking, lets the
//! model judge them, keeps the best lines and answers from the best of all.
//!
//! A line is a sequence, a next thought a fork of it.  Thoughts of a level are generated together and
//! judged together in one step; what lines have in common is computed once.

use realm_guest::{
    collect_all, emit_event, request, step, Error, Generate, Generation, Model, Result, Sampling, Sequence,
    Step, Stepped, Token, TokenScore, Value,
};

const OPENING: &str = "Let me think step by step.\n1.";
const QUESTION: &str = "\nIs this right so far, yes or no? Answer:";
const CONCLUSION: &str = "\nSo the answer is";
const DEFAULT_ANSWER_TOKENS: u32 = 64;
const BEST_SCORES: usize = 64;

realm_guest::functions!(
    br#"[{
        "name": "realm_run",
        "description": "Answers a chat after a search through a tree of thoughts.",
        "streaming": true,
        "parameters": {
            "type": "object",
            "required": ["messages"],
            "properties": {
                "messages": {"type": "array"},
                "breadth": {"type": "integer", "minimum": 1, "maximum": 4},
                "beam": {"type": "integer", "minimum": 1, "maximum": 4},
                "depth": {"type": "integer", "minimum": 1, "maximum": 6},
                "thought_tokens": {"type": "integer", "minimum": 1, "maximum": 256},
                "max_tokens": {"type": "integer"},
                "temperature": {"type": "number"},
                "seed": {"type": "integer"}
            }
        }
    }]"#
);
realm_guest::program!(realm_run => search);

/// A line of thinking that ends with this thought.
struct Node {
    id: usize,
    parent: Option<usize>,
    text: String,
    /// How likely the model finds "yes" against "no" when asked whether the line is right.
    value: f64,
    sequence: Sequence,
}

struct Search {
    model: Model,
    sampling: Sampling,
    breadth: usize,
    beam: usize,
    depth: usize,
    thought_tokens: u32,
    yes: Token,
    no: Token,
    n_nodes: usize,
    n_forks: usize,
    n_prompt_tokens: usize,
    n_cached_tokens: usize,
    /// Of every node; None for the root.
    parents: Vec<Option<usize>>,
}

fn number(request: &Value, name: &str, otherwise: u64, most: u64) -> u64 {
    request[name].as_u64().unwrap_or(otherwise).max(1).min(most)
}

fn first_token(model: &Model, word: &str) -> Result<Token> {
    let tokens = model.tokenize(word)?;
    tokens.first().copied().ok_or_else(|| Error::new(format!("the model has no token for \"{}\"", word)))
}

/// Appends and computes.
fn advance(sequences: &mut [&mut Sequence], n_top: usize) -> Result<Vec<Stepped>> {
    let mut parts: Vec<Step> = sequences
        .iter_mut()
        .map(|sequence| Step {
            sequence,
            tokens: &[],
            sampler: None,
            n_drawn: 0,
            drafts: &[],
            n_top,
            logprob: false,
        })
        .collect();
    step(&mut parts)?.into_iter().collect()
}

/// A token that is not among the best scores like the least of them.
fn score_of(top: &[TokenScore], token: Token) -> f64 {
    let found = top.iter().find(|one| one.token == token).or_else(|| top.last());
    found.map_or(0.0, |one| one.score as f64)
}

impl Search {
    fn of_request(request: &Value) -> Result<Search> {
        let model = Model::of_request()?;
        Ok(Search {
            sampling: Sampling::of_request(request),
            breadth: number(request, "breadth", 3, 4) as usize,
            beam: number(request, "beam", 2, 4) as usize,
            depth: number(request, "depth", 2, 6) as usize,
            thought_tokens: number(request, "thought_tokens", 32, 256) as u32,
            yes: first_token(&model, " yes")?,
            no: first_token(&model, " no")?,
            model,
            n_nodes: 0,
            n_forks: 0,
            n_prompt_tokens: 0,
            n_cached_tokens: 0,
            parents: Vec::new(),
        })
    }

    fn add(&mut self, parent: Option<usize>, text: String, value: f64, sequence: Sequence) -> Node {
        self.parents.push(parent);
        self.n_nodes += 1;
        Node { id: self.n_nodes - 1, parent, text, value, sequence }
    }

    /// The conversation, computed, where the first thought begins.
    fn root(&mut self, messages: &Value) -> Result<Node> {
        let mut sequence = self.model.prompt(messages)?;
        sequence.append_text(OPENING)?;
        advance(&mut [&mut sequence], 0)?;
        Ok(self.add(None, String::new(), 0.0, sequence))
    }

    /// One line of text, other numbers for each node.
    fn thought_options(&self, i: usize) -> Result<Generate> {
        let sampling = Sampling { stream: (self.n_nodes + i) as u32, ..self.sampling };
        Ok(Generate {
            sampler: Some(sampling.sampler()?),
            max_tokens: self.thought_tokens,
            stops: vec!["\n".to_string()],
            ..Generate::default()
        })
    }

    /// The next thoughts of every line: forks with the text that was generated on them.
    fn grow(&mut self, lines: &[Node], level: usize) -> Result<Vec<(usize, Generation, Sequence)>> {
        let mut forks = Vec::new();
        let mut streams = Vec::new();
        for line in lines {
            for _ in 0..self.breadth {
                let mut fork = line.sequence.fork()?;
                streams.push(fork.generate(&self.thought_options(forks.len())?)?);
                forks.push((line.id, fork, line.sequence.tokens()?.len()));
            }
        }
        self.n_forks += forks.len();
        let thoughts = collect_all(streams)?;
        forks
            .into_iter()
            .zip(thoughts)
            .map(|((parent, mut fork, length), thought)| {
                // A line is plain text again: without what ended it, with the next one's number.
                fork.truncate(length)?;
                fork.append_text(&format!(" {}\n{}.", thought.text.trim(), level + 2))?;
                self.n_prompt_tokens += thought.n_prompt_tokens;
                self.n_cached_tokens += thought.n_cached_tokens;
                Ok((parent, thought, fork))
            })
            .collect()
    }

    /// Asks of all lines in one step whether they are right, and takes the question back.
    fn judge(&self, sequences: &mut [&mut Sequence]) -> Result<Vec<f64>> {
        let mut lengths = Vec::new();
        for sequence in sequences.iter_mut() {
            lengths.push(sequence.tokens()?.len());
            sequence.append_text(QUESTION)?;
        }
        let judged = advance(sequences, BEST_SCORES)?;
        for (sequence, length) in sequences.iter_mut().zip(lengths) {
            sequence.truncate(length)?;
        }
        let odds = |top: &[TokenScore]| score_of(top, self.yes) - score_of(top, self.no);
        Ok(judged.iter().map(|one| 1.0 / (1.0 + (-odds(&one.top)).exp())).collect())
    }

    fn level(&mut self, lines: &[Node], level: usize) -> Result<Vec<Node>> {
        let mut grown = self.grow(lines, level)?;
        let values = self.judge(&mut grown.iter_mut().map(|one| &mut one.2).collect::<Vec<_>>())?;
        let mut nodes = Vec::new();
        for ((parent, thought, sequence), value) in grown.into_iter().zip(values) {
            let node = self.add(Some(parent), thought.text.trim().to_string(), value, sequence);
            tell_node(&node, level + 1, &thought)?;
            nodes.push(node);
        }
        nodes.sort_by(|a, b| b.value.total_cmp(&a.value));
        nodes.truncate(self.beam);
        Ok(nodes)
    }

    fn tell_end(&self, best: &Node) -> Result<()> {
        let mut path = vec![best.id];
        while let Some(parent) = self.parents[path[path.len() - 1]] {
            path.push(parent);
        }
        path.reverse();
        emit_event(&Value::object([
            ("type", "search".into()),
            ("nodes", self.n_nodes.into()),
            ("forks", self.n_forks.into()),
            ("prompt_tokens", self.n_prompt_tokens.into()),
            ("cached_tokens", self.n_cached_tokens.into()),
            ("path", path.into()),
        ]))
    }
}

fn tell_node(node: &Node, depth: usize, thought: &Generation) -> Result<()> {
    emit_event(&Value::object([
        ("type", "node".into()),
        ("id", node.id.into()),
        ("parent", node.parent.map_or(Value::Null, Value::from)),
        ("depth", depth.into()),
        ("text", node.text.as_str().into()),
        ("value", node.value.into()),
        ("tokens", thought.tokens.len().into()),
        ("cached_tokens", thought.n_cached_tokens.into()),
    ]))
}

fn search() -> Result<()> {
    let request = request()?;
    let mut search = Search::of_request(&request)?;
    let mut lines = vec![search.root(&request["messages"])?];
    for level in 0..search.depth {
        lines = search.level(&lines, level)?;
    }
    let mut best = lines.swap_remove(0);
    search.tell_end(&best)?;
    best.sequence.append_text(CONCLUSION)?;
    let mut options = Generate::of_request(&request)?;
    if options.max_tokens == 0 {
        options.max_tokens = DEFAULT_ANSWER_TOKENS;
    }
    best.sequence.generate(&options)?.pipe()?;
    Ok(())
}
