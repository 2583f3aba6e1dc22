use crate::abi;
use crate::error::{check, text_of, Result};
use crate::handle::Handle;
use crate::json::Value;
use crate::stream::{Generate, Stream};
use std::rc::Rc;

pub type Token = u32;

/// A model the server has loaded.
#[derive(Clone, Debug)]
pub struct Model(pub(crate) Rc<Handle>);

impl Model {
    /// The model the request is for.
    pub fn of_request() -> Result<Model> {
        Model::open("")
    }

    pub fn open(name: &str) -> Result<Model> {
        Handle::of(unsafe { abi::model_open(name.as_ptr(), name.len()) }).map(|handle| Model(Rc::new(handle)))
    }

    /// name, architecture, vocabulary, context_length, bos, eos
    pub fn info(&self) -> Result<Value> {
        Value::parse(&text_of(|out, room| unsafe { abi::model_info(self.0 .0, out, room) })?)
    }

    /// Tokens of a text; names of special tokens in it are just text.
    pub fn tokenize(&self, text: &str) -> Result<Vec<Token>> {
        self.encode(text, 0)
    }

    fn encode(&self, text: &str, flags: i32) -> Result<Vec<Token>> {
        let ask =
            |out, room| unsafe { abi::tokenize(self.0 .0, text.as_ptr(), text.len(), flags, out, room) };
        let mut tokens = vec![0; check(ask(std::ptr::null_mut(), 0))?];
        check(ask(tokens.as_mut_ptr(), tokens.len()))?;
        Ok(tokens)
    }

    pub fn detokenize(&self, tokens: &[Token]) -> Result<String> {
        text_of(|out, room| unsafe {
            abi::detokenize(self.0 .0, tokens.as_ptr(), tokens.len(), 0, out, room)
        })
    }

    /// The embedding of a text, as /v1/embeddings gives it; its length is 1.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        let flags = abi::TEXT_ADD_SPECIAL | abi::TEXT_PARSE_SPECIAL;
        self.embed_tokens(&self.encode(text, flags)?)
    }

    /// The embedding of tokens; its length is 1.
    pub fn embed_tokens(&self, tokens: &[Token]) -> Result<Vec<f32>> {
        let ask = |out, room| unsafe { abi::embed(self.0 .0, tokens.as_ptr(), tokens.len(), out, room) };
        let mut columns = vec![0.0; check(ask(std::ptr::null_mut(), 0))?];
        check(ask(columns.as_mut_ptr(), columns.len()))?;
        Ok(columns)
    }

    /// The prompt that the chat template makes of {"messages":[...],"tools":[...]}.
    pub fn apply_template(&self, context: &Value) -> Result<String> {
        let json = context.to_string();
        text_of(|out, room| unsafe { abi::apply_template(self.0 .0, json.as_ptr(), json.len(), out, room) })
    }

    pub fn sequence(&self) -> Result<Sequence> {
        Handle::of(unsafe { abi::sequence_create(self.0 .0) }).map(Sequence)
    }

    /// A sequence with the prompt of a JSON array of messages, ready for the model's answer.
    pub fn prompt(&self, messages: &Value) -> Result<Sequence> {
        let context = Value::object([("messages", messages.clone()), ("add_generation_prompt", true.into())]);
        let mut sequence = self.sequence()?;
        sequence.append_prompt(&self.apply_template(&context)?)?;
        Ok(sequence)
    }

    /// What an earlier request saved by that name.
    pub fn open_sequence(&self, name: &str) -> Result<Sequence> {
        Handle::of(unsafe { abi::sequence_open(self.0 .0, name.as_ptr(), name.len()) }).map(Sequence)
    }
}

/// LoRA weights of the tenant's for one model.
#[derive(Debug)]
pub struct Adapter(Handle);

impl Model {
    /// An adapter that the tenant has pushed for this model.
    pub fn adapter(&self, name: &str) -> Result<Adapter> {
        Handle::of(unsafe { abi::adapter_open(self.0 .0, name.as_ptr(), name.len()) }).map(Adapter)
    }
}

/// One message of a conversation.
pub fn message(role: &str, content: &str) -> Value {
    Value::object([("role", role.into()), ("content", content.into())])
}

/// A growing list of tokens with what the model has computed of them.
#[derive(Debug)]
pub struct Sequence(pub(crate) Handle);

impl Sequence {
    /// Result: the new length.
    pub fn append(&mut self, tokens: &[Token]) -> Result<usize> {
        check(unsafe { abi::sequence_append(self.0 .0, tokens.as_ptr(), tokens.len()) })
    }

    /// Appends text in which names of special tokens are just text.
    pub fn append_text(&mut self, text: &str) -> Result<usize> {
        check(unsafe { abi::sequence_append_text(self.0 .0, text.as_ptr(), text.len(), 0) })
    }

    /// Appends text in which "<|im_end|>" written out is that token, as templates write it.
    pub fn append_prompt(&mut self, text: &str) -> Result<usize> {
        check(unsafe {
            abi::sequence_append_text(self.0 .0, text.as_ptr(), text.len(), abi::TEXT_PARSE_SPECIAL)
        })
    }

    /// A second one with the same tokens; what is computed is shared until one of them goes on.
    pub fn fork(&self) -> Result<Sequence> {
        Handle::of(unsafe { abi::sequence_fork(self.0 .0) }).map(Sequence)
    }

    /// Has it computed with an adapter, or with none; before the first generate or step.
    pub fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        let handle = adapter.map_or(0, |adapter| adapter.0 .0);
        check(unsafe { abi::sequence_set_adapter(self.0 .0, handle) }).map(|_| ())
    }

    pub fn truncate(&mut self, n_tokens: usize) -> Result<()> {
        check(unsafe { abi::sequence_truncate(self.0 .0, n_tokens as i32) }).map(|_| ())
    }

    pub fn tokens(&self) -> Result<Vec<Token>> {
        let n = check(unsafe { abi::sequence_read(self.0 .0, std::ptr::null_mut(), 0) })?;
        let mut tokens = vec![0; n];
        check(unsafe { abi::sequence_read(self.0 .0, tokens.as_mut_ptr(), n) })?;
        Ok(tokens)
    }

    /// Keeps the tokens under a name of the tenant's own.
    pub fn save(&self, name: &str) -> Result<()> {
        check(unsafe { abi::sequence_save(self.0 .0, name.as_ptr(), name.len()) }).map(|_| ())
    }

    /// Generates on; the tokens become part of the sequence, which is busy until the stream ends.
    pub fn generate(&mut self, options: &Generate) -> Result<Stream> {
        options.start(self)
    }
}
