package guest

import "encoding/json"

// ChatRequest is the body of an OpenAI chat request, as far as programs care; a program embeds it in
// a struct of its own for what else it reads.
type ChatRequest struct {
	Messages            json.RawMessage `json:"messages"`
	MaxTokens           uint32          `json:"max_tokens"`
	MaxCompletionTokens uint32          `json:"max_completion_tokens"`
	Temperature         *float32        `json:"temperature"` // nil: 1, the API's default
	TopP                float32         `json:"top_p"`
	MinP                float32         `json:"min_p"`
	TopK                uint32          `json:"top_k"`
	RepetitionPenalty   float32         `json:"repetition_penalty"`
	PresencePenalty     float32         `json:"presence_penalty"`
	FrequencyPenalty    float32         `json:"frequency_penalty"`
	Seed                uint64          `json:"seed"`
	Stop                Stops           `json:"stop"`
}

// Stops are strings that end a generation: in JSON one, several or null.
type Stops []string

// UnmarshalJSON takes a string as a list of one.
func (s *Stops) UnmarshalJSON(body []byte) error {
	var one string
	if json.Unmarshal(body, &one) == nil && string(body) != "null" {
		*s = Stops{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(body, &many)
	*s = many
	return err
}

// Sampling is how the request wants tokens drawn.
func (r *ChatRequest) Sampling() Sampling {
	temperature := float32(1)
	if r.Temperature != nil {
		temperature = *r.Temperature
	}
	return Sampling{
		Temperature:       temperature,
		TopP:              r.TopP,
		MinP:              r.MinP,
		TopK:              r.TopK,
		RepetitionPenalty: r.RepetitionPenalty,
		PresencePenalty:   r.PresencePenalty,
		FrequencyPenalty:  r.FrequencyPenalty,
		Seed:              r.Seed,
	}
}

// Generate is sampler, length and stop strings as the request has them.
func (r *ChatRequest) Generate() (Generate, error) {
	sampler, err := NewSampler(r.Sampling())
	options := Generate{Sampler: sampler, MaxTokens: r.MaxTokens, Stops: r.Stop}
	if r.MaxCompletionTokens != 0 {
		options.MaxTokens = r.MaxCompletionTokens
	}
	return options, err
}

// Message is one of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// LastMessage is what the last message of the request says: its content, or its parts of type "text"
// together.
func (r *ChatRequest) LastMessage() string {
	var messages []struct {
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(r.Messages, &messages) != nil || len(messages) == 0 {
		return ""
	}
	content := messages[len(messages)-1].Content
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &parts)
	for _, part := range parts {
		text += part.Text
	}
	return text
}
