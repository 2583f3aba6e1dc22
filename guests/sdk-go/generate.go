package guest

import (
	"strings"
	"unsafe"
)

// Sampling is how tokens are drawn; zero is "off" in every field.
type Sampling struct {
	Temperature       float32 // 0: greedy
	TopP              float32
	MinP              float32
	TypicalP          float32
	TopK              uint32
	RepetitionPenalty float32
	PresencePenalty   float32
	FrequencyPenalty  float32
	Seed              uint64 // 0: the request's
	Stream            uint32 // other numbers from the same seed
}

// Sampler may serve many sequences; the zero value is greedy.
type Sampler struct{ handle int32 }

// NewSampler makes one of options.
func NewSampler(s Sampling) (Sampler, error) {
	options := abiSampler{
		temperature:       s.Temperature,
		topP:              s.TopP,
		minP:              s.MinP,
		typicalP:          s.TypicalP,
		topK:              s.TopK,
		repetitionPenalty: s.RepetitionPenalty,
		presencePenalty:   s.PresencePenalty,
		frequencyPenalty:  s.FrequencyPenalty,
		seed:              s.Seed,
		stream:            s.Stream,
	}
	options.size = uint32(unsafe.Sizeof(options))
	handle, err := check(abiSamplerCreate(unsafe.Pointer(&options), options.size))
	return Sampler{int32(handle)}, err
}

// Bias adds to the logits of tokens; -100 or less bans.  It replaces what was there.
func (s Sampler) Bias(biases map[Token]float32) error {
	tokens := make([]Token, 0, len(biases)+1)
	values := make([]float32, 0, len(biases)+1)
	for token, value := range biases {
		tokens = append(tokens, token)
		values = append(values, value)
	}
	return failed(abiSamplerBias(s.handle, unsafe.Pointer(unsafe.SliceData(tokens)),
		unsafe.Pointer(unsafe.SliceData(values)), uint32(len(tokens))))
}

// Matcher is what a generation's text must satisfy; the zero value asks for nothing.
type Matcher struct{ handle int32 }

func newMatcher(model Model, kind int32, text string) (Matcher, error) {
	data, n := addressOf(text)
	handle, err := check(abiMatcherCreate(model.handle, kind, data, n))
	return Matcher{int32(handle)}, err
}

// NewSchemaMatcher wants JSON of a schema, given as JSON.
func NewSchemaMatcher(model Model, schema string) (Matcher, error) {
	return newMatcher(model, 0, schema)
}

// NewRegexMatcher wants text of a regular expression.
func NewRegexMatcher(model Model, regex string) (Matcher, error) { return newMatcher(model, 1, regex) }

// NewLarkMatcher wants text of a Lark grammar.
func NewLarkMatcher(model Model, grammar string) (Matcher, error) {
	return newMatcher(model, 2, grammar)
}

// Generate is what is to be generated; the zero value is greedy, to the end the model finds.
type Generate struct {
	Sampler      Sampler
	Matcher      Matcher
	MaxTokens    uint32 // 0: what the context leaves
	MinTokens    uint32
	IgnoreEnd    bool
	Logprobs     bool
	NTopLogprobs uint32 // at most 20, with Logprobs
	Stops        []string
}

// Stream is the events of a generation or of another program.
type Stream struct{ handle int32 }

// Generate goes on from the sequence, which is busy until the stream ends.
func (s Sequence) Generate(g Generate) (Stream, error) {
	options := abiGenerate{
		sampler:      g.Sampler.handle,
		matcher:      g.Matcher.handle,
		maxTokens:    g.MaxTokens,
		minTokens:    g.MinTokens,
		nTopLogprobs: g.NTopLogprobs,
	}
	if g.IgnoreEnd {
		options.flags |= generateIgnoreEnd
	}
	if g.Logprobs {
		options.flags |= generateLogprobs
	}
	options.size = uint32(unsafe.Sizeof(options))
	var stops strings.Builder
	for _, stop := range g.Stops {
		stops.WriteString(stop)
		stops.WriteByte(0)
	}
	data, n := addressOf(stops.String())
	handle, err := check(abiGenerateStart(s.handle, unsafe.Pointer(&options), options.size, data, n))
	return Stream{int32(handle)}, err
}

// Kind of an Event.
type Kind uint32

const (
	Started   Kind = iota // the prompt has been computed
	Generated             // a token, and the text that may be shown now
	Finished              // the last one, with the text that was held back
	Output                // of Invoke: what the other program emitted
)

// Finish is why a generation ended.
type Finish uint32

const (
	NotFinished Finish = iota
	Stopped            // an end token, a stop string, or the matcher is satisfied
	Length
	Cancelled
	Broken // Next has the error
)

// Event is one thing a stream tells.
type Event struct {
	Kind              Kind
	Token             Token // with Output: 0 text, 1 event, 2 result
	Text              string
	Logprob           float32
	Top               []TokenScore
	Finish            Finish
	NPromptTokens     int
	NCachedTokens     int // of the prompt, not computed anew
	NCompletionTokens int
}

// Next is the next event; nil after the last.
func (s Stream) Next() (*Event, error) {
	var event abiEvent
	text := make([]byte, 256)
	for {
		data, room := address(text)
		n, err := check(abiStreamNext(s.handle, unsafe.Pointer(&event), uint32(unsafe.Sizeof(event)), data, room, -1))
		if err == nil && n == 0 {
			return nil, nil
		}
		if err == nil {
			break
		}
		if err.(*Error).Code != TooLarge {
			return nil, err
		}
		text = make([]byte, event.nText)
	}
	if Finish(event.finish) == Broken {
		return nil, failed(int32(Failed))
	}
	return &Event{
		Kind:              Kind(event.kind),
		Token:             event.token,
		Text:              string(text[:event.nText]),
		Logprob:           event.logprob,
		Top:               append([]TokenScore(nil), event.top[:min(event.nTop, maxTopLogprobs)]...),
		Finish:            Finish(event.finish),
		NPromptTokens:     int(event.nPromptTokens),
		NCachedTokens:     int(event.nCachedTokens),
		NCompletionTokens: int(event.nCompletionTokens),
	}, nil
}

// Pipe emits all text to the client as it comes, without waking the program for each token.
func (s Stream) Pipe() (Finish, error) {
	var event abiEvent
	_, err := check(abiStreamPipe(s.handle, unsafe.Pointer(&event), uint32(unsafe.Sizeof(event))))
	if err == nil && Finish(event.finish) == Broken {
		err = failed(int32(Failed))
	}
	return Finish(event.finish), err
}

// Drop cancels what still runs.
func (s Stream) Drop() { abiDrop(s.handle) }

// WaitAny waits until one of the streams has an event or has ended; its index.
func WaitAny(streams []Stream) (int, error) {
	handles := make([]int32, len(streams)+1)
	for i, stream := range streams {
		handles[i] = stream.handle
	}
	return check(abiStreamWait(unsafe.Pointer(&handles[0]), uint32(len(streams)), -1))
}

// Generation is one that has ended.
type Generation struct {
	Text          string
	Tokens        []Token
	Logprobs      []float32
	NCachedTokens int
	Finish        Finish
}

// Collect waits for the end of generations that run together.
func Collect(streams ...Stream) ([]Generation, error) {
	generations := make([]Generation, len(streams))
	living := append([]Stream(nil), streams...)
	places := make([]int, len(streams))
	for i := range places {
		places[i] = i
	}
	for len(living) > 0 {
		ready, err := WaitAny(living)
		if err != nil {
			return nil, err
		}
		event, err := living[ready].Next()
		if err != nil {
			return nil, err
		}
		if event == nil {
			living[ready].Drop()
			last := len(living) - 1
			living[ready], places[ready] = living[last], places[last]
			living, places = living[:last], places[:last]
			continue
		}
		generations[places[ready]].take(event)
	}
	return generations, nil
}

// MeanLogprob is per token; 0 where there is none.
func (g *Generation) MeanLogprob() float64 {
	sum := 0.0
	for _, logprob := range g.Logprobs {
		sum += float64(logprob)
	}
	return sum / float64(max(len(g.Logprobs), 1))
}

func (g *Generation) take(event *Event) {
	g.Text += event.Text
	g.NCachedTokens = event.NCachedTokens
	if event.Kind == Generated {
		g.Tokens = append(g.Tokens, event.Token)
		g.Logprobs = append(g.Logprobs, event.Logprob)
	}
	if event.Kind == Finished {
		g.Finish = event.Finish
	}
}
