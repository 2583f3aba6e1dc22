//! Calls all that the SDK has and tells what came of it; tests/e2e/test_guests.py knows what should.

use realm_guest::{
    clock_ms, collect_all, emit_event, emit_result, emit_text, invoke, last_message, log, message, meta,
    random, receive, request, step, store, usage, Error, ErrorKind, Event, Finish, Generate, Level, Matcher,
    Model, OutputKind, Result, Sampling, Sequence, Step, Token, Value,
};

realm_guest::functions!(
    br#"[{"name": "realm_run"}, {"name": "fails"}, {"name": "panics"}, {"name": "invokes"}]"#
);
realm_guest::program!(realm_run => tour, fails => fails, panics => panics, invokes => invokes);

fn fails() -> Result<()> {
    Err(Error::new("as it should"))
}

fn panics() -> Result<()> {
    let none: Option<u32> = None;
    none.map(|_| ()).expect("nothing is there");
    Ok(())
}

/// Lets another program answer: piped to the client, then once more event by event.
fn invokes() -> Result<()> {
    let request = request()?;
    let program = request["program"].as_str().unwrap_or("");
    invoke(program, "", &request)?.pipe()?;
    let mut text = String::new();
    for event in invoke(program, "realm_run", &request)? {
        if let Event::Output { kind: OutputKind::Text, text: piece } = event? {
            text.push_str(&piece);
        }
    }
    tell("invoked", text.into())
}

fn tour() -> Result<()> {
    let model = Model::of_request()?;
    tell("request", Value::object([("last", last_message(&request()?).into()), ("meta", meta()?)]))?;
    tell("model", model.info()?)?;
    texts(&model)?;
    sequences(&model)?;
    generations(&model)?;
    steps(&model)?;
    world()?;
    emit_text("text")?;
    emit_result(&Value::object([("result", true.into())]))
}

fn tell(name: &str, value: Value) -> Result<()> {
    emit_event(&Value::object([("type", name.into()), ("value", value)]))
}

fn numbers(tokens: &[Token]) -> Value {
    tokens.iter().map(|token| *token as usize).collect::<Vec<_>>().into()
}

fn texts(model: &Model) -> Result<()> {
    let tokens = model.tokenize("Hello <|im_end|> world")?;
    let plain = model.tokenize("Hello world")?;
    tell(
        "texts",
        Value::object([
            ("tokens", numbers(&tokens)),
            ("text", model.detokenize(&tokens)?.into()),
            ("embeds", (model.embed("Hello world")? == model.embed_tokens(&plain)?).into()),
            ("columns", model.embed("Hello world")?.len().into()),
            ("unknown", kind_of(Model::open("nobody"))),
        ]),
    )
}

fn kind_of<T>(result: Result<T>) -> Value {
    match result {
        Ok(_) => "none".into(),
        Err(error) => format!("{:?}: {}", error.kind, error.message).into(),
    }
}

fn sequences(model: &Model) -> Result<()> {
    let mut sequence = model.sequence()?;
    let appended = sequence.append(&[1, 2, 3])?;
    let text = sequence.append_text(" four")?;
    let prompt = sequence.append_prompt("<|im_end|>")?;
    let mut fork = sequence.fork()?;
    fork.truncate(2)?;
    sequence.save("tour")?;
    let opened = model.open_sequence("tour")?;
    tell(
        "sequences",
        Value::object([
            ("lengths", vec![appended, text, prompt].into()),
            ("fork", numbers(&fork.tokens()?)),
            ("same", (opened.tokens()? == sequence.tokens()?).into()),
            ("missing", kind_of(model.open_sequence("nothing"))),
            ("too few", kind_of(fork.truncate(9))),
            ("no adapter", kind_of(model.adapter("nothing"))),
            ("without", kind_of(fork.set_adapter(None))),
        ]),
    )
}

fn prompt(model: &Model) -> Result<Sequence> {
    model.prompt(&vec![message("user", "Say a word.")].into())
}

fn generations(model: &Model) -> Result<()> {
    let plain = Generate { max_tokens: 4, logprobs: true, n_top_logprobs: 2, ..Generate::default() };
    let mut events = Vec::new();
    let mut first = 0;
    for event in prompt(model)?.generate(&plain)? {
        events.push(match event? {
            Event::Started { n_prompt_tokens, .. } => format!("started {}", n_prompt_tokens > 0),
            Event::Token { token, logprob, top, .. } => {
                first = if first == 0 { token } else { first };
                format!("token {}", top.len() == 2 && top[0].token == token && top[0].score == logprob)
            }
            Event::Output { .. } => "output".to_string(),
            Event::Finished { finish, n_completion_tokens, .. } => {
                format!("finished {:?} {}", finish, n_completion_tokens)
            }
        });
    }
    let banning = Sampling::default().sampler()?;
    banning.bias(&[(first, -100.0)])?;
    let banned = Generate { sampler: Some(banning), ..plain.clone() };
    let regex = Generate { matcher: Some(Matcher::regex(model, "(yes|no)")?), ..plain.clone() };
    let lark = Generate { matcher: Some(Matcher::lark(model, "start: \"maybe\"")?), ..plain.clone() };
    let schema = Value::object([("enum", vec!["a", "b"].into())]);
    let schema = Generate { matcher: Some(Matcher::json_schema(model, &schema)?), ..plain.clone() };
    let streams: Result<Vec<_>> = [banned, regex, lark, schema]
        .iter()
        .map(|options| prompt(model).and_then(|mut sequence| sequence.generate(options)))
        .collect();
    let all = collect_all(streams?)?;
    tell(
        "generations",
        Value::object([
            ("events", events.iter().map(|event| event.as_str()).collect::<Vec<_>>().into()),
            ("banned", (!all[0].tokens.contains(&first) && !all[0].tokens.is_empty()).into()),
            ("matched", all[1..].iter().map(|one| one.text.as_str()).collect::<Vec<_>>().into()),
            ("stopped", all[1..].iter().all(|one| one.finish == Some(Finish::Stop)).into()),
            ("mean", (all[1].mean_logprob() < 0.0).into()),
            ("wrong", kind_of(Matcher::regex(model, "("))),
        ]),
    )
}

/// Greedy steps by hand give what generate gives; then guesses of the same tokens are all kept.
fn steps(model: &Model) -> Result<()> {
    let mut sequence = prompt(model)?;
    let greedy = Sampling::default().sampler()?;
    let expected = prompt(model)?.generate(&Generate { max_tokens: 5, ..Generate::default() })?.collect()?;
    let mut drafted = sequence.fork()?;
    let mut drawn: Vec<Token> = Vec::new();
    let mut tops_agree = true;
    for i in 0..expected.tokens.len() {
        let tokens = drawn[i.saturating_sub(1)..i].to_vec();
        let part = Step {
            sequence: &mut sequence,
            tokens: &tokens,
            sampler: Some(&greedy),
            n_drawn: i as u32,
            drafts: &[],
            n_top: 3,
            logprob: i > 0,
        };
        let one = step(&mut [part])?.remove(0)?;
        let (token, logprob) = one.drawn.unwrap_or_default();
        tops_agree &= one.top.len() == 3 && one.top[0].token == token;
        tops_agree &= (one.top[0].score == logprob) == (i > 0);
        drawn.push(token);
    }
    let drafts = &expected.tokens[..4];
    let part = Step {
        sequence: &mut drafted,
        tokens: &[],
        sampler: Some(&greedy),
        n_drawn: 0,
        drafts,
        n_top: 0,
        logprob: false,
    };
    let kept = step(&mut [part])?.remove(0)?;
    tell(
        "steps",
        Value::object([
            ("same", (drawn == expected.tokens).into()),
            ("tops", tops_agree.into()),
            ("accepted", kept.n_accepted.into()),
            ("next", (kept.drawn.map(|drawn| drawn.0) == expected.tokens.get(4).copied()).into()),
        ]),
    )
}

fn world() -> Result<()> {
    store::set("tour/a", b"1")?;
    store::set("tour/b", b"")?;
    let listed = store::list("tour/")?;
    let got = (store::get("tour/a")?, store::get("tour/b")?, store::get("tour/c")?);
    store::delete("tour/a")?;
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    log(Level::Information, "a line");
    let used = usage()?;
    tell(
        "world",
        Value::object([
            ("listed", listed.iter().map(|key| key.as_str()).collect::<Vec<_>>().into()),
            ("got", (got == (Some(b"1".to_vec()), Some(Vec::new()), None)).into()),
            ("deleted", store::get("tour/a")?.is_none().into()),
            ("deleted again", kind_of(store::delete("tour/a"))),
            ("random", numbers(&bytes.iter().map(|byte| *byte as Token).collect::<Vec<_>>())),
            ("clock", (clock_ms() > 1_600_000_000_000).into()),
            ("usage", (used.completion_tokens > 0 && used.fuel_left > 0 && used.handles_left > 0).into()),
            ("invoked", kind_of(invoke("nobody", "", &Value::Null))),
            ("received", receive()?.is_none().into()),
            ("kind", (ErrorKind::NotFound == Model::open("nobody").unwrap_err().kind).into()),
        ]),
    )
}
