// Calls all that the SDK has and tells what came of it; tests/e2e/test_guests.py knows what should.
package main

import (
	"errors"
	"fmt"
	"slices"

	"realm.invalid/guest"
)

func main() {}

type object = map[string]any

//go:wasmexport realm_describe
func describe() int32 {
	return guest.Run(func() error {
		return guest.EmitResult([]object{{"name": "realm_run"}, {"name": "fails"}, {"name": "panics"}, {"name": "invokes"}})
	})
}

//go:wasmexport fails
func fails() int32 { return guest.Run(func() error { return errors.New("as it should") }) }

//go:wasmexport panics
func panics() int32 { panic("nothing is there") }

//go:wasmexport realm_run
func run() int32 { return guest.Run(tour) }

// Lets another program answer: piped to the client, then once more event by event.
//
//go:wasmexport invokes
func invokes() int32 {
	return guest.Run(func() error {
		var request map[string]any
		do(guest.ReadRequest(&request))
		program := request["program"].(string)
		must(must(guest.Invoke(program, "", request)).Pipe())
		stream := must(guest.Invoke(program, "realm_run", request))
		text := ""
		for event := must(stream.Next()); event != nil; event = must(stream.Next()) {
			if event.Kind == guest.Output && event.Token == 0 {
				text += event.Text
			}
		}
		tell("invoked", text)
		return nil
	})
}

// Errors that nothing here expects end the tour.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func do(err error) {
	if err != nil {
		panic(err)
	}
}

func tell(name string, value any) { do(guest.EmitEvent(object{"type": name, "value": value})) }

func kindOf[T any](_ T, err error) string { return kind(err) }

func kind(err error) string {
	names := map[guest.Code]string{guest.NotFound: "NotFound", guest.InvalidArgument: "InvalidArgument"}
	var failure *guest.Error
	if !errors.As(err, &failure) {
		return "none"
	}
	return names[failure.Code] + ": " + failure.Message
}

func tour() error {
	model := must(guest.OpenModel(""))
	var request guest.ChatRequest
	do(guest.ReadRequest(&request))
	tell("request", object{"last": request.LastMessage(), "meta": must(guest.ReadMeta())})
	tell("model", must(model.Info()))
	texts(model)
	sequences(model)
	generations(model)
	steps(model)
	world()
	do(guest.EmitText("text"))
	return guest.EmitResult(object{"result": true})
}

func texts(model guest.Model) {
	tokens := must(model.Tokenize("Hello <|im_end|> world"))
	tell("texts", object{
		"tokens":  tokens,
		"text":    must(model.Detokenize(tokens)),
		"embeds":  slices.Equal(must(model.Embed("Hello world")), must(model.EmbedTokens(must(model.Tokenize("Hello world"))))),
		"columns": len(must(model.Embed("Hello world"))),
		"unknown": kindOf(guest.OpenModel("nobody")),
	})
}

func sequences(model guest.Model) {
	sequence := must(model.NewSequence())
	lengths := []int{
		must(sequence.Append([]guest.Token{1, 2, 3})),
		must(sequence.AppendText(" four")),
		must(sequence.AppendPrompt("<|im_end|>")),
	}
	fork := must(sequence.Fork())
	do(fork.Truncate(2))
	do(sequence.Save("tour"))
	opened := must(model.OpenSequence("tour"))
	tell("sequences", object{
		"lengths":    lengths,
		"fork":       must(fork.Tokens()),
		"same":       slices.Equal(must(opened.Tokens()), must(sequence.Tokens())),
		"missing":    kindOf(model.OpenSequence("nothing")),
		"too few":    kind(fork.Truncate(9)),
		"no adapter": kindOf(model.OpenAdapter("nothing")),
		"without":    kind(fork.SetAdapter(guest.Adapter{})),
	})
	fork.Drop()
}

func prompt(model guest.Model) guest.Sequence {
	return must(model.Prompt([]guest.Message{{Role: "user", Content: "Say a word."}}))
}

func eventWords(event *guest.Event) string {
	switch event.Kind {
	case guest.Started:
		return fmt.Sprint("started ", event.NPromptTokens > 0)
	case guest.Generated:
		best := event.Top[0]
		return fmt.Sprint("token ", len(event.Top) == 2 && best.Token == event.Token && best.Score == event.Logprob)
	case guest.Finished:
		names := []string{"", "Stop", "Length"}
		return fmt.Sprint("finished ", names[event.Finish], " ", event.NCompletionTokens)
	}
	return "output"
}

func generations(model guest.Model) {
	plain := guest.Generate{MaxTokens: 4, Logprobs: true, NTopLogprobs: 2}
	var events []string
	var first guest.Token
	stream := must(prompt(model).Generate(plain))
	for {
		event := must(stream.Next())
		if event == nil {
			break
		}
		if first == 0 {
			first = event.Token
		}
		events = append(events, eventWords(event))
	}
	banned, regex, lark, schema := plain, plain, plain, plain
	banned.Sampler = must(guest.NewSampler(guest.Sampling{}))
	do(banned.Sampler.Bias(map[guest.Token]float32{first: -100}))
	regex.Matcher = must(guest.NewRegexMatcher(model, "(yes|no)"))
	lark.Matcher = must(guest.NewLarkMatcher(model, `start: "maybe"`))
	schema.Matcher = must(guest.NewSchemaMatcher(model, `{"enum":["a","b"]}`))
	var streams []guest.Stream
	for _, options := range []guest.Generate{banned, regex, lark, schema} {
		streams = append(streams, must(prompt(model).Generate(options)))
	}
	all := must(guest.Collect(streams...))
	var matched []string
	stopped := true
	for _, one := range all[1:] {
		matched = append(matched, one.Text)
		stopped = stopped && one.Finish == guest.Stopped
	}
	tell("generations", object{
		"events":  events,
		"banned":  len(all[0].Tokens) > 0 && !slices.Contains(all[0].Tokens, first),
		"matched": matched,
		"stopped": stopped,
		"mean":    all[1].MeanLogprob() < 0,
		"wrong":   kindOf(guest.NewRegexMatcher(model, "(")),
	})
}

// Greedy steps by hand give what generate gives; then guesses of the same tokens are all kept.
func steps(model guest.Model) {
	sequence := prompt(model)
	greedy := must(guest.NewSampler(guest.Sampling{}))
	expected := must(guest.Collect(must(prompt(model).Generate(guest.Generate{MaxTokens: 5}))))[0].Tokens
	drafted := must(sequence.Fork())
	var drawn []guest.Token
	tops := true
	for i := range expected {
		part := guest.Step{Sequence: sequence, Tokens: drawn[max(i-1, 0):i], Sampler: greedy, NDrawn: uint32(i), NTop: 3,
			Logprob: i > 0}
		one := must(guest.MakeStep([]guest.Step{part}))[0]
		do(one.Err)
		tops = tops && len(one.Top) == 3 && one.Top[0].Token == one.Token
		tops = tops && (one.Top[0].Score == one.Logprob) == (i > 0)
		drawn = append(drawn, one.Token)
	}
	kept := must(guest.MakeStep([]guest.Step{{Sequence: drafted, Sampler: greedy, Drafts: expected[:4]}}))[0]
	do(kept.Err)
	tell("steps", object{
		"same":     slices.Equal(drawn, expected),
		"tops":     tops,
		"accepted": kept.NAccepted,
		"next":     kept.Token == expected[4],
	})
}

func world() {
	do(guest.Set("tour/a", []byte("1")))
	do(guest.Set("tour/b", nil))
	listed := must(guest.List("tour/"))
	a, b, c := must(guest.Get("tour/a")), must(guest.Get("tour/b")), must(guest.Get("tour/c"))
	do(guest.Delete("tour/a"))
	random := make([]byte, 16)
	do(guest.Random(random))
	var numbers []int
	for _, one := range random {
		numbers = append(numbers, int(one))
	}
	guest.Log(2, "a line")
	used := must(guest.ReadUsage())
	_, closed := guest.Receive()
	_, unknown := guest.OpenModel("nobody")
	tell("world", object{
		"listed":        listed,
		"got":           string(a) == "1" && b != nil && len(b) == 0 && c == nil,
		"deleted":       must(guest.Get("tour/a")) == nil,
		"deleted again": kind(guest.Delete("tour/a")),
		"random":        numbers,
		"clock":         guest.ClockMs() > 1_600_000_000_000,
		"usage":         used.CompletionTokens > 0 && used.FuelLeft > 0 && used.HandlesLeft > 0,
		"invoked":       kindOf(guest.Invoke("nobody", "", nil)),
		"received":      errors.Is(closed, guest.Closed),
		"kind":          errors.Is(unknown, guest.NotFound),
	})
}
