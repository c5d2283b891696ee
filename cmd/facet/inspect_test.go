package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
)

// Every conversation of the reference, through the command.
func TestInspectChatRendersEveryReferenceCase(t *testing.T) {
	data, err := os.ReadFile(fixtures.Path("golden/text/chat.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name             string          `json:"name"`
		Template         string          `json:"template"`
		Thinking         bool            `json:"thinking"`
		GenerationPrompt bool            `json:"generation_prompt"`
		Messages         json.RawMessage `json:"messages"`
		Tools            json.RawMessage `json:"tools"`
		Text             string          `json:"text"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		args := []string{"inspect", "chat", "--template", c.Template}
		if c.Thinking {
			args = append(args, "--thinking")
		}
		if !c.GenerationPrompt {
			args = append(args, "--no-generation-prompt")
		}
		request, err := json.Marshal(map[string]json.RawMessage{"messages": c.Messages, "tools": c.Tools})
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if status := run(args, bytes.NewReader(request), &stdout, &stderr); status != statusOK {
			t.Errorf("%s, %s: status %d: %s", c.Name, strings.Join(args[2:], " "), status, &stderr)
			continue
		}
		if diff := cmp.Diff(c.Text, stdout.String()); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.Name, strings.Join(args[2:], " "), diff)
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
}
