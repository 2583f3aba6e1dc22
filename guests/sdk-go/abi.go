package guest

import "unsafe"

// The calls of realm_v1 as they are; docs/formats/guest-abi.md tells of each.

const (
	requestBody = 0
	requestMeta = 1

	emitText   = 0
	emitEvent  = 1
	emitResult = 2

	textAddSpecial   = 1
	textParseSpecial = 2

	generateIgnoreEnd = 1
	generateLogprobs  = 4

	maxTopLogprobs = 20
)

type abiSampler struct {
	size              uint32
	temperature       float32
	topP              float32
	minP              float32
	typicalP          float32
	topK              uint32
	repetitionPenalty float32
	presencePenalty   float32
	frequencyPenalty  float32
	penaltyWindow     uint32
	dryMultiplier     float32
	dryBase           float32
	dryAllowedLength  uint32
	dryWindow         uint32
	mirostat          uint32
	mirostatTau       float32
	mirostatEta       float32
	stream            uint32
	seed              uint64
}

type abiGenerate struct {
	size         uint32
	sampler      int32
	matcher      int32
	maxTokens    uint32
	minTokens    uint32
	flags        uint32
	nTopLogprobs uint32
}

type abiEvent struct {
	kind              uint32
	token             uint32
	logprob           float32
	finish            uint32
	nPromptTokens     uint32
	nCachedTokens     uint32
	nCompletionTokens uint32
	nText             uint32
	nTop              uint32
	reserved          uint32
	top               [maxTopLogprobs]TokenScore
}

type abiStep struct {
	sequence  int32
	sampler   int32
	nDrawn    uint32
	nTokens   uint32
	tokens    uint64
	drafts    uint64
	nDrafts   uint32
	nTop      uint32
	flags     uint32
	reserved  uint32
	top       uint64
	status    int32
	token     uint32
	logprob   float32
	nAccepted uint32
	nTopOut   uint32
	nLength   uint32
}

//go:wasmimport realm_v1 request_read
func abiRequestRead(part int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 emit
func abiEmit(kind int32, data unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 recv
func abiRecv(out unsafe.Pointer, capacity uint32, timeoutMs int32) int32

//go:wasmimport realm_v1 last_error
func abiLastError(out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 model_open
func abiModelOpen(name unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 model_info
func abiModelInfo(model int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 tokenize
func abiTokenize(model int32, text unsafe.Pointer, n uint32, flags int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 detokenize
func abiDetokenize(model int32, tokens unsafe.Pointer, n uint32, flags int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 apply_template
func abiApplyTemplate(model int32, json unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 sequence_create
func abiSequenceCreate(model int32) int32

//go:wasmimport realm_v1 sequence_append
func abiSequenceAppend(sequence int32, tokens unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 sequence_append_text
func abiSequenceAppendText(sequence int32, text unsafe.Pointer, n uint32, flags int32) int32

//go:wasmimport realm_v1 sequence_fork
func abiSequenceFork(sequence int32) int32

//go:wasmimport realm_v1 sequence_truncate
func abiSequenceTruncate(sequence int32, nTokens int32) int32

//go:wasmimport realm_v1 sequence_read
func abiSequenceRead(sequence int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 sequence_save
func abiSequenceSave(sequence int32, name unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 sequence_open
func abiSequenceOpen(model int32, name unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 adapter_open
func abiAdapterOpen(model int32, name unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 sequence_set_adapter
func abiSequenceSetAdapter(sequence int32, adapter int32) int32

//go:wasmimport realm_v1 drop
func abiDrop(handle int32) int32

//go:wasmimport realm_v1 sampler_create
func abiSamplerCreate(options unsafe.Pointer, size uint32) int32

//go:wasmimport realm_v1 sampler_bias
func abiSamplerBias(sampler int32, tokens unsafe.Pointer, biases unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 matcher_create
func abiMatcherCreate(model int32, kind int32, text unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 generate
func abiGenerateStart(sequence int32, options unsafe.Pointer, size uint32, stops unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 stream_next
func abiStreamNext(stream int32, event unsafe.Pointer, size uint32, text unsafe.Pointer, capacity uint32, timeoutMs int32) int32

//go:wasmimport realm_v1 stream_pipe
func abiStreamPipe(stream int32, event unsafe.Pointer, size uint32) int32

//go:wasmimport realm_v1 stream_wait
func abiStreamWait(streams unsafe.Pointer, n uint32, timeoutMs int32) int32

//go:wasmimport realm_v1 step
func abiStepMake(items unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 embed
func abiEmbed(model int32, tokens unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 invoke
func abiInvoke(program unsafe.Pointer, nProgram uint32, function unsafe.Pointer, nFunction uint32, request unsafe.Pointer, nRequest uint32) int32

//go:wasmimport realm_v1 kv_get
func abiKvGet(key unsafe.Pointer, nKey uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 kv_set
func abiKvSet(key unsafe.Pointer, nKey uint32, value unsafe.Pointer, nValue uint32) int32

//go:wasmimport realm_v1 kv_delete
func abiKvDelete(key unsafe.Pointer, nKey uint32) int32

//go:wasmimport realm_v1 kv_list
func abiKvList(prefix unsafe.Pointer, nPrefix uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport realm_v1 random
func abiRandom(out unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 clock_ms
func abiClockMs() int64

//go:wasmimport realm_v1 log
func abiLog(level int32, text unsafe.Pointer, n uint32) int32

//go:wasmimport realm_v1 usage
func abiUsage(out unsafe.Pointer, size uint32) int32
