package guest

import (
	"encoding/json"
	"unsafe"
)

// Token is an integer of the model's vocabulary.
type Token = uint32

// TokenScore is a token and the model's own log-probability of it.
type TokenScore struct {
	Token Token
	Score float32
}

// Model is a model the server has loaded.
type Model struct{ handle int32 }

// Sequence is a growing list of tokens with what the model has computed of them.
type Sequence struct{ handle int32 }

// OpenModel finds a model by name; "": the request's.
func OpenModel(name string) (Model, error) {
	data, n := addressOf(name)
	handle, err := check(abiModelOpen(data, n))
	return Model{int32(handle)}, err
}

// ModelInfo is what is known of a model.
type ModelInfo struct {
	Name          string `json:"name"`
	Architecture  string `json:"architecture"`
	Vocabulary    int    `json:"vocabulary"`
	ContextLength int    `json:"context_length"`
	BOS           *Token `json:"bos"`
	EOS           *Token `json:"eos"`
}

// Info tells what is known of the model.
func (m Model) Info() (ModelInfo, error) {
	var info ModelInfo
	body, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiModelInfo(m.handle, out, room)
	})
	if err == nil {
		err = json.Unmarshal(body, &info)
	}
	return info, err
}

// Tokenize makes tokens of a text; names of special tokens in it are just text.
func (m Model) Tokenize(text string) ([]Token, error) {
	data, n := addressOf(text)
	return tokensOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiTokenize(m.handle, data, n, 0, out, room)
	})
}

func tokensOf(call func(out unsafe.Pointer, room uint32) int32) ([]Token, error) {
	n, err := check(call(nil, 0))
	if err != nil || n == 0 {
		return nil, err
	}
	tokens := make([]Token, n)
	_, err = check(call(unsafe.Pointer(&tokens[0]), uint32(n)))
	return tokens, err
}

// Detokenize makes text of tokens.
func (m Model) Detokenize(tokens []Token) (string, error) {
	text, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiDetokenize(m.handle, unsafe.Pointer(unsafe.SliceData(tokens)), uint32(len(tokens)), 0, out, room)
	})
	return string(text), err
}

// Embed is the embedding of a text, as /v1/embeddings gives it; its length is 1.
func (m Model) Embed(text string) ([]float32, error) {
	data, n := addressOf(text)
	tokens, err := tokensOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiTokenize(m.handle, data, n, textAddSpecial|textParseSpecial, out, room)
	})
	if err != nil {
		return nil, err
	}
	return m.EmbedTokens(tokens)
}

// EmbedTokens is the embedding of tokens; its length is 1.
func (m Model) EmbedTokens(tokens []Token) ([]float32, error) {
	first, n := unsafe.Pointer(unsafe.SliceData(tokens)), uint32(len(tokens))
	nColumns, err := check(abiEmbed(m.handle, first, n, nil, 0))
	if err != nil {
		return nil, err
	}
	columns := make([]float32, nColumns)
	_, err = check(abiEmbed(m.handle, first, n, unsafe.Pointer(unsafe.SliceData(columns)), uint32(nColumns)))
	return columns, err
}

// ApplyTemplate makes the prompt of messages: a []Message, or JSON as the request brought it.
func (m Model) ApplyTemplate(messages any) (string, error) {
	context, err := json.Marshal(map[string]any{"messages": messages, "add_generation_prompt": true})
	if err != nil {
		return "", err
	}
	data, n := address(context)
	text, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiApplyTemplate(m.handle, data, n, out, room)
	})
	return string(text), err
}

// NewSequence is an empty one.
func (m Model) NewSequence() (Sequence, error) {
	handle, err := check(abiSequenceCreate(m.handle))
	return Sequence{int32(handle)}, err
}

// Prompt is a sequence with the prompt of messages, ready for the model's answer.
func (m Model) Prompt(messages any) (Sequence, error) {
	text, err := m.ApplyTemplate(messages)
	if err != nil {
		return Sequence{}, err
	}
	sequence, err := m.NewSequence()
	if err == nil {
		_, err = sequence.AppendPrompt(text)
	}
	return sequence, err
}

// OpenSequence is what an earlier request saved by that name.
func (m Model) OpenSequence(name string) (Sequence, error) {
	data, n := addressOf(name)
	handle, err := check(abiSequenceOpen(m.handle, data, n))
	return Sequence{int32(handle)}, err
}

// Adapter is LoRA weights of the tenant's for one model; the zero value is none.
type Adapter struct{ handle int32 }

// OpenAdapter is what the tenant has pushed by that name for the model.
func (m Model) OpenAdapter(name string) (Adapter, error) {
	data, n := addressOf(name)
	handle, err := check(abiAdapterOpen(m.handle, data, n))
	return Adapter{int32(handle)}, err
}

// Drop gives the adapter back; sequences that have it keep it.
func (a Adapter) Drop() { abiDrop(a.handle) }

// SetAdapter has the sequence computed with an adapter; before the first generate or step.
func (s Sequence) SetAdapter(a Adapter) error {
	return failed(abiSequenceSetAdapter(s.handle, a.handle))
}

// Append appends tokens; the result is the new length.
func (s Sequence) Append(tokens []Token) (int, error) {
	return check(abiSequenceAppend(s.handle, unsafe.Pointer(unsafe.SliceData(tokens)), uint32(len(tokens))))
}

// AppendText appends text in which names of special tokens are just text.
func (s Sequence) AppendText(text string) (int, error) {
	data, n := addressOf(text)
	return check(abiSequenceAppendText(s.handle, data, n, 0))
}

// AppendPrompt appends text in which "<|im_end|>" written out is that token, as templates write it.
func (s Sequence) AppendPrompt(text string) (int, error) {
	data, n := addressOf(text)
	return check(abiSequenceAppendText(s.handle, data, n, textParseSpecial))
}

// Fork is a second one with the same tokens; what is computed is shared until one of them goes on.
func (s Sequence) Fork() (Sequence, error) {
	handle, err := check(abiSequenceFork(s.handle))
	return Sequence{int32(handle)}, err
}

// Truncate keeps the first n tokens.
func (s Sequence) Truncate(n int) error { return failed(abiSequenceTruncate(s.handle, int32(n))) }

// Tokens are what it is made of.
func (s Sequence) Tokens() ([]Token, error) {
	return tokensOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiSequenceRead(s.handle, out, room)
	})
}

// Save keeps the tokens under a name of the tenant's own.
func (s Sequence) Save(name string) error {
	data, n := addressOf(name)
	return failed(abiSequenceSave(s.handle, data, n))
}

// Drop gives its pages back; what is left at the end of the program is dropped by the server.
func (s Sequence) Drop() { abiDrop(s.handle) }
