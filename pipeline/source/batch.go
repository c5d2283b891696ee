package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"facet/internal/strictjson"
	"facet/vision"
)

// parseRequest reads a line of OpenAI's batch format: a chat completion with one medium and a question about it
// (https://platform.openai.com/docs/api-reference/batch/request-input). Whatever would change the answer and is not
// done here is an error that names it.
func parseRequest(keys map[string]json.RawMessage) (p parsed, err error) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		raw := keys[key]
		switch key {
		case "custom_id":
			err = value(raw, &p.CustomID)
		case "method":
			err = only(raw, "POST")
		case "url":
			err = only(raw, "/v1/chat/completions")
		case "body":
			err = p.body(raw)
		default:
			err = errors.New("unknown key of a request")
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w", key, err)
		}
	}
	switch {
	case keys["body"] == nil:
		return p, errors.New("no body in this request")
	case p.Path == "" && p.data == "":
		return p, errors.New("body: no image, sound, video or document in this request")
	}
	return p, p.check()
}

// check holds what was put together to what job.ParseEntry asks of an entry.
func (p *parsed) check() error {
	e := p.Entry
	if p.data != "" {
		e.Path = "data" // which is not for the limits of an entry
	}
	text, err := json.Marshal(e)
	if err == nil {
		_, err = parseEntry(text)
	}
	return err
}

// neutral are parameters that may stand there with the one value that changes nothing.
var neutral = map[string]any{
	"n": 1, "stream": false, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "logprobs": false,
}

// body reads the parameters of a chat completion. model is not looked at: it names one that is elsewhere.
func (p *parsed) body(raw json.RawMessage) error {
	var keys map[string]json.RawMessage
	if err := value(raw, &keys); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		raw := keys[key]
		if string(raw) == "null" {
			continue
		}
		var err error
		switch key {
		case "model", "user", "metadata", "store", "service_tier": // say nothing about the answer
		case "messages":
			err = p.messages(raw)
		case "max_tokens", "max_completion_tokens":
			if err = value(raw, &p.MaxTokens); err == nil && p.MaxTokens < 1 {
				err = errors.New("want at least 1")
			}
		case "temperature":
			err = value(raw, &p.Temperature)
		case "seed":
			err = value(raw, &p.Seed)
		case "response_format":
			var f struct{ Type string }
			if err = json.Unmarshal(raw, &f); err == nil && f.Type != "text" {
				err = fmt.Errorf("type %.40q is not offered for manifests, only text", f.Type)
			}
		default:
			want, known := neutral[key]
			if !known {
				return fmt.Errorf("%.40s: not offered for manifests", key)
			}
			err = only(raw, want)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if keys["max_tokens"] != nil && keys["max_completion_tokens"] != nil {
		return errors.New("max_tokens and max_completion_tokens: want one of them")
	}
	return nil
}

// messages reads the one message of the user.
func (p *parsed) messages(raw json.RawMessage) error {
	var list []struct {
		Role    string          `json:"role"`
		Name    string          `json:"name"`
		Content json.RawMessage `json:"content"`
	}
	if err := strictjson.Unmarshal(raw, &list, strictjson.RefuseUnknown); err != nil {
		return err
	}
	for i, m := range list {
		if m.Role != "user" {
			return fmt.Errorf("message %d: role %.40q: there is one message, the user's", i+1, m.Role)
		}
	}
	if len(list) != 1 {
		return fmt.Errorf("%d messages: want one", len(list))
	}
	content := list[0].Content
	var text string
	if json.Unmarshal(content, &text) == nil {
		p.Prompt = text
		return nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(content, &parts); err != nil {
		return errors.New("content: want a list of parts")
	}
	var texts []string
	for i, raw := range parts {
		text, err := p.part(raw)
		if err != nil {
			return fmt.Errorf("content: part %d: %w", i+1, err)
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	p.Prompt = strings.Join(texts, "\n")
	return nil
}

// part reads a part of the message: text, which it returns, or the medium.
func (p *parsed) part(raw json.RawMessage) (text string, err error) {
	type link struct {
		URL    string `json:"url"`
		Detail string `json:"detail"`
	}
	var part struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		ImageURL *link  `json:"image_url"`
		AudioURL *link  `json:"audio_url"`
		VideoURL *link  `json:"video_url"`
		Audio    *struct {
			Data   string `json:"data"`
			Format string `json:"format"`
		} `json:"input_audio"`
		File *struct {
			Data string `json:"file_data"`
			Name string `json:"filename"`
		} `json:"file"`
	}
	if err := strictjson.Unmarshal(raw, &part, strictjson.RefuseUnknown); err != nil {
		return "", err
	}
	switch {
	case part.Type == "text":
		return part.Text, nil
	case part.Type == "image_url" && part.ImageURL != nil:
		if p.Budget, err = detail(part.ImageURL.Detail); err != nil {
			return "", err
		}
		return "", p.medium(part.ImageURL.URL)
	case part.Type == "audio_url" && part.AudioURL != nil:
		return "", p.medium(part.AudioURL.URL)
	case part.Type == "video_url" && part.VideoURL != nil:
		return "", p.medium(part.VideoURL.URL)
	case part.Type == "input_audio" && part.Audio != nil:
		return "", p.medium("data:audio/" + part.Audio.Format + ";base64," + part.Audio.Data)
	case part.Type == "file" && part.File != nil:
		return "", p.medium(part.File.Data)
	}
	return "", fmt.Errorf("type %.40q: want text, image_url, audio_url, video_url, input_audio or file, and its value under that name", part.Type)
}

// detail is the budget of an image: the API knows the least and the most.
func detail(s string) (budget int, err error) {
	switch s {
	case "", "auto":
		return 0, nil
	case "low":
		return vision.Budgets[0], nil
	case "high":
		return vision.Budgets[len(vision.Budgets)-1], nil
	}
	return 0, fmt.Errorf("detail %.40q: want low, high or auto", s)
}

// medium takes the place of the file that a request is about.
func (p *parsed) medium(link string) error {
	if p.Path != "" || p.data != "" {
		return errors.New("a second medium: a request is about one")
	}
	scheme, rest, found := strings.Cut(link, ":")
	switch scheme = strings.ToLower(scheme); {
	case link == "":
		return errors.New("no url")
	case strings.ContainsRune(link, 0):
		return errors.New("a zero byte in a name")
	case found && scheme == "data":
		if _, _, err := splitData(link); err != nil {
			return err
		}
		p.data = link
	case found && scheme == "file":
		path, err := filePath(link)
		if err != nil {
			return err
		}
		p.Path = path
	case found && strings.HasPrefix(rest, "//"):
		return fmt.Errorf("%.40s: addresses are not fetched: name a file", link)
	default:
		p.Path = link
	}
	return nil
}

// filePath is the path of a file URL (RFC 8089).
func filePath(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", errors.New("not a file URL")
	}
	path := u.Path
	if u.Opaque != "" { // file:a.png, which no standard knows and people write
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("not a file URL")
		}
	}
	switch {
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("file URL of another host, %.40q; of this one it begins with file:///", u.Host)
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("file URL with a query or a fragment: write ? as %3F and # as %23")
	case path == "":
		return "", errors.New("file URL without a path")
	case strings.ContainsRune(path, 0):
		return "", errors.New("a zero byte in a name")
	}
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	return filepath.FromSlash(path), nil
}

// value decodes JSON, with an error that says what is wanted.
func value(raw json.RawMessage, to any) error {
	if json.Unmarshal(raw, to) == nil && string(raw) != "null" {
		return nil
	}
	switch to.(type) {
	case *string:
		return errors.New("want a string")
	case *int, *uint64:
		return errors.New("want a whole number, not negative")
	case *float64:
		return errors.New("want a number")
	}
	return errors.New("want an object")
}

// only refuses all but one value.
func only(raw json.RawMessage, want any) error {
	var got any
	if err := json.Unmarshal(raw, &got); err != nil {
		return err
	}
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	if got != want {
		return fmt.Errorf("%.40s: only %v is offered for manifests", raw, want)
	}
	return nil
}
