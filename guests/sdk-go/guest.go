// Package guest is for programs that run in the Realm server beside the engine.
//
//	func main() {}
//
//	//go:wasmexport realm_run
//	func run() int32 { return guest.Run(chat) }
//
//	func chat() error {
//		var request guest.ChatRequest
//		if err := guest.ReadRequest(&request); err != nil {
//			return err
//		}
//		...
//	}
//
// It is built with GOOS=wasip1 GOARCH=wasm and -buildmode=c-shared.
package guest

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// Code says why a call could not be done; enum realm_guest_error.
type Code int32

const (
	InvalidArgument Code = -1 - iota
	BadPointer
	BadHandle
	NotFound
	Quota
	Busy
	Closed
	TimedOut
	TooLarge
	Unsupported
	Failed
)

// Error is what a call failed of.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// Is reports whether err is an Error of that code: errors.Is(err, guest.NotFound).
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

func (c Code) Error() string { return fmt.Sprintf("guest error %d", int32(c)) }

func check(result int32) (int, error) {
	if result >= 0 {
		return int(result), nil
	}
	words := make([]byte, 512)
	n := abiLastError(unsafe.Pointer(&words[0]), uint32(len(words)))
	return 0, &Error{Code: Code(result), Message: string(words[:min(max(int(n), 0), len(words))])}
}

func failed(result int32) error {
	_, err := check(result)
	return err
}

func address(data []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data))
}

func addressOf(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

// Calls that give bytes tell how many there are whatever the room: asked twice, they fit.
func bytesOf(call func(out unsafe.Pointer, room uint32) int32) ([]byte, error) {
	n, err := check(call(nil, 0))
	if err != nil || n == 0 {
		return nil, err
	}
	data := make([]byte, n)
	_, err = check(call(unsafe.Pointer(&data[0]), uint32(n)))
	return data, err
}

// Run makes the result of an exported function of what went wrong in f: the client is told in an
// event {"error":{"message"}}, and the log.
func Run(f func() error) int32 {
	err := f()
	if err == nil {
		return 0
	}
	Log(0, err.Error())
	_ = EmitEvent(map[string]any{"error": map[string]string{"message": err.Error()}})
	return 1
}

// ReadRequest reads what the client sent, which is JSON.
func ReadRequest(into any) error {
	body, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiRequestRead(requestBody, out, room)
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// Meta is what the server knows of the request.
type Meta struct {
	Program  string `json:"program"`
	Function string `json:"function"`
	Version  int    `json:"version"`
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Source   string `json:"source"`
}

// ReadMeta tells what the server knows of the request.
func ReadMeta() (Meta, error) {
	var meta Meta
	body, err := bytesOf(func(out unsafe.Pointer, room uint32) int32 {
		return abiRequestRead(requestMeta, out, room)
	})
	if err == nil {
		err = json.Unmarshal(body, &meta)
	}
	return meta, err
}

// EmitText sends the next piece of the answer.
func EmitText(text string) error {
	data, n := addressOf(text)
	return failed(abiEmit(emitText, data, n))
}

// EmitEvent sends a structured event.
func EmitEvent(event any) error { return emitJSON(emitEvent, event) }

// EmitResult sends the function's result; the last one counts.
func EmitResult(result any) error { return emitJSON(emitResult, result) }

func emitJSON(kind int32, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	data, n := address(body)
	return failed(abiEmit(kind, data, n))
}

// Receive gives the client's next message in a WebSocket session; Closed once it has gone.
func Receive() ([]byte, error) {
	message := make([]byte, 4096)
	for {
		data, room := address(message)
		n, err := check(abiRecv(data, room, -1))
		if err != nil {
			return nil, err
		}
		if n <= len(message) {
			return message[:n], nil
		}
		message = make([]byte, n)
	}
}
