// Answers a chat: the model's chat template makes the prompt, and what the model generates goes to
// the client as it comes.
package main

import (
	"fmt"

	"realm.invalid/guest"
)

func main() {}

//go:wasmexport realm_run
func run() int32 { return guest.Run(chat) }

// Tells the server which functions clients may call.
//
//go:wasmexport realm_describe
func describe() int32 { return guest.Run(func() error { return guest.EmitResult(functions) }) }

type object = map[string]any

var functions = []object{{
	"name":        "realm_run",
	"description": "Answers a chat.",
	"streaming":   true,
	"parameters": object{
		"type":     "object",
		"required": []string{"messages"},
		"properties": object{
			"messages":    object{"type": "array"},
			"max_tokens":  object{"type": "integer"},
			"temperature": object{"type": "number"},
			"seed":        object{"type": "integer"},
		},
	},
}}

func chat() error {
	var request guest.ChatRequest
	if err := guest.ReadRequest(&request); err != nil {
		return err
	}
	model, err := guest.OpenModel("")
	if err != nil {
		return err
	}
	sequence, err := model.Prompt(request.Messages)
	if err != nil {
		return fmt.Errorf("no prompt can be made of \"messages\": %w", err)
	}
	options, err := request.Generate()
	if err != nil {
		return err
	}
	stream, err := sequence.Generate(options)
	if err != nil {
		return err
	}
	_, err = stream.Pipe()
	return err
}
