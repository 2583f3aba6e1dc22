//! Answers a chat: the model's chat template makes the prompt, and what the model generates goes to
//! the client as it comes.

use realm_guest::{request, Error, Generate, Model, Result};

realm_guest::functions!(
    br#"[{
        "name": "realm_run",
        "description": "Answers a chat.",
        "streaming": true,
        "parameters": {
            "type": "object",
            "required": ["messages"],
            "properties": {
                "messages": {"type": "array"},
                "max_tokens": {"type": "integer"},
                "temperature": {"type": "number"},
                "seed": {"type": "integer"}
            }
        }
    }]"#
);
realm_guest::program!(realm_run => chat);

fn chat() -> Result<()> {
    let request = request()?;
    let mut sequence = Model::of_request()?
        .prompt(&request["messages"])
        .map_err(|error| Error::new(format!("no prompt can be made of \"messages\": {}", error)))?;
    sequence.generate(&Generate::of_request(&request)?)?.pipe()?;
    Ok(())
}
