package guest

import (
	"runtime"
	"unsafe"
)

// Step is one sequence's part in a step.
type Step struct {
	Sequence Sequence
	Tokens   []Token // appended and computed first
	Sampler  Sampler // the zero value draws nothing
	NDrawn   uint32  // tokens at the sequence's end that this sampler drew before
	Drafts   []Token // guesses of what will be drawn
	NTop     int     // best scores wanted after the last token, at most 64
	Logprob  bool    // the drawn token's log-probability is wanted too
}

// Stepped is what a step gave of one sequence.
type Stepped struct {
	Err       error
	Token     Token   // drawn, not yet part of the sequence
	Logprob   float32 // of it; NaN unless asked for
	NAccepted int     // drafts that were kept
	Top       []TokenScore
	Length    int // tokens of the sequence after the step
}

const stepLogprob = 1

// MakeStep makes one step of several sequences together.
func MakeStep(parts []Step) ([]Stepped, error) {
	items := make([]abiStep, len(parts))
	tops := make([][]TokenScore, len(parts))
	var pins runtime.Pinner
	defer pins.Unpin()
	pin := func(data unsafe.Pointer) uint64 {
		if data == nil {
			return 0
		}
		pins.Pin(data)
		return uint64(uintptr(data))
	}
	for i, part := range parts {
		tops[i] = make([]TokenScore, part.NTop)
		items[i] = abiStep{
			sequence: part.Sequence.handle,
			sampler:  part.Sampler.handle,
			nDrawn:   part.NDrawn,
			nTokens:  uint32(len(part.Tokens)),
			nDrafts:  uint32(len(part.Drafts)),
			nTop:     uint32(part.NTop),
		}
		if part.Logprob {
			items[i].flags = stepLogprob
		}
		if len(part.Tokens) > 0 {
			items[i].tokens = pin(unsafe.Pointer(&part.Tokens[0]))
		}
		if len(part.Drafts) > 0 {
			items[i].drafts = pin(unsafe.Pointer(&part.Drafts[0]))
		}
		if part.NTop > 0 {
			items[i].top = pin(unsafe.Pointer(&tops[i][0]))
		}
	}
	if err := failed(abiStepMake(unsafe.Pointer(unsafe.SliceData(items)), uint32(len(items)))); err != nil {
		return nil, err
	}
	results := make([]Stepped, len(parts))
	for i, item := range items {
		results[i] = Stepped{
			Token:     item.token,
			Logprob:   item.logprob,
			NAccepted: int(item.nAccepted),
			Top:       tops[i][:item.nTopOut],
			Length:    int(item.nLength),
		}
		if item.status < 0 {
			results[i].Err = failed(item.status)
		}
	}
	return results, nil
}
