package guest

import (
	"encoding/json"
	"errors"
	"unsafe"
)

// Invoke runs a function ("": the default one) of another program of the tenant.
func Invoke(program, function string, request any) (Stream, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return Stream{}, err
	}
	programAt, nProgram := addressOf(program)
	functionAt, nFunction := addressOf(function)
	data, n := address(body)
	handle, err := check(abiInvoke(programAt, nProgram, functionAt, nFunction, data, n))
	return Stream{int32(handle)}, err
}

// Get reads the tenant's store; nil without an error: there is no such key.
func Get(key string) ([]byte, error) {
	data, n := addressOf(key)
	value, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 { return abiKvGet(data, n, out, room) })
	if errors.Is(err, NotFound) {
		return nil, nil
	}
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// Set writes the tenant's store: keys of 1 to 256 bytes, values of up to 64 KiB.
func Set(key string, value []byte) error {
	data, n := addressOf(key)
	valueAt, nValue := address(value)
	return failed(abiKvSet(data, n, valueAt, nValue))
}

// Delete takes a key out of the tenant's store.
func Delete(key string) error {
	data, n := addressOf(key)
	return failed(abiKvDelete(data, n))
}

// List are the store's keys that begin with prefix, in byte order, at most 1,000.
func List(prefix string) ([]string, error) {
	data, n := addressOf(prefix)
	body, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 { return abiKvList(data, n, out, room) })
	if err != nil {
		return nil, err
	}
	var keys []string
	err = json.Unmarshal(body, &keys)
	return keys, err
}

// Random fills out from the request's seed: the same seed gives the same bytes.
func Random(out []byte) error {
	data, n := address(out)
	return failed(abiRandom(data, n))
}

// ClockMs is milliseconds since 1970-01-01 UTC.
func ClockMs() int64 { return abiClockMs() }

// Log writes a line in the program's log. level: 0 error, 1 warning, 2 information, 3 debug.
func Log(level int32, text string) {
	data, n := addressOf(text)
	abiLog(level, data, n)
}

// Usage is what this request has used and may still use.
type Usage struct {
	PromptTokens     uint64
	CompletionTokens uint64
	FuelLeft         uint64
	HostCallsLeft    uint64
	OutputBytesLeft  uint64
	HandlesLeft      uint64
	KVBytesLeft      uint64
}

// ReadUsage tells what this request has used and may still use.
func ReadUsage() (Usage, error) {
	var usage Usage
	err := failed(abiUsage(unsafe.Pointer(&usage), uint32(unsafe.Sizeof(usage))))
	return usage, err
}
