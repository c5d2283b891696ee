package source

import (
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"facet/pipeline/job"
)

// compareItems leaves out how to get at the bytes.
var compareItems = cmpopts.IgnoreUnexported(Item{})

func itemsOf(t *testing.T, s *Sources) []Item {
	t.Helper()
	var items []Item
	for item, err := range s.All(t.Context()) {
		if err != nil {
			t.Errorf("%s: %v", item.Path, err)
		}
		items = append(items, item)
	}
	return items
}

func TestCSV(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "list.csv", "\xef\xbb\xbfpath,budget,boxes,page,subtitles,temperature,seed,id,error\r\n"+
		"a.png,,,,,,,,\r\n"+
		"\"b, \"\"the\"\"\nsecond.png\",70,none,2,,0.5,7,0123,what went wrong\r\n"+
		"c.wav,,,,TRUE,,,,\r\n")
	want := []Item{
		{Path: "a.png", File: "a.png", Line: "list.csv:2"},
		{
			Path: "b, \"the\"\nsecond.png", File: "b, \"the\"\nsecond.png", Line: "list.csv:3", Page: 2, ID: "0123",
			Options: &job.Options{Budget: 70, Boxes: job.BoxesNone, Temperature: 0.5, Seed: 7},
		},
		{Path: "c.wav", File: "c.wav", Line: "list.csv:5", Options: &job.Options{Listening: job.Listening{Subtitles: true}}},
	}
	if diff := cmp.Diff(want, itemsOf(t, open(t, images, "list.csv")), compareItems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for text, want := range map[string]string{
		"path,bugdet\na,70\n":                 `bad.csv:1: column "bugdet" is unknown`,
		"path,path\na,b\n":                    `bad.csv:1: column "path" is there twice`,
		"path;budget\na;70\n":                 `bad.csv:1: the columns are not parted by commas`,
		"budget\n70\n":                        `bad.csv:1: no column path`,
		"path,budget\na.png,70\nb.png,many\n": `bad.csv:3: column budget: "many": want a whole number`,
		"path,budget\na.png,71\n":             `bad.csv:2: budget 71: want one of [70 140 280 560 1120]`,
		"path,seed\na.png,-1\n":               `bad.csv:2: column seed: "-1": want a whole number, not negative`,
		"path,subtitles\na.png,maybe\n":       `bad.csv:2: column subtitles: "maybe": want true or false`,
		"path,temperature\na.png,NaN\n":       `bad.csv:2: column temperature: "NaN": want a number`,
		"path,budget\na.png\n":                `bad.csv:2: not as many fields as the header has columns`,
		"path,budget\n,70\n":                  `bad.csv:2: no path`,
		"path\na\"b.png\n":                    `bad.csv:2: quotation marks that do not fit: a field with one begins and ends with one, and has each in it twice`,
		"path\n\"a.png\n" + line(50_000):      `bad.csv: a record of more than 1048576 bytes: is a quotation mark not closed?`,
		"path\n\xff.png\n":                    `bad.csv:2: column path: "\xff.png": not UTF-8`,
		"path\na\x00b.png\n":                  `bad.csv:2: path: a zero byte in a name`,
		"\xff\xfep\x00a\x00t\x00h\x00\n\x00":  `bad.csv:1: UTF-16: manifests are UTF-8`,
		"path\n":                              `bad.csv: no entries in this manifest`,
		"":                                    `bad.csv: no entries in this manifest`,
	} {
		put(t, dir, "bad.csv", text)
		if _, err := Open([]string{"bad.csv"}, images); err == nil || err.Error() != want {
			t.Errorf("%.60q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func line(n int) string { return strings.Repeat("another line of text, and\n", n) }

// request is a line of OpenAI's batch format about what content holds.
func request(id, content, more string) string {
	return fmt.Sprintf(`{"custom_id": %q, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt", `+
		`"messages": [{"role": "user", "content": %s}]%s}}`, id, content, more)
}

func TestBatch(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	png := "\x89PNG\r\n\x1a\n and more"
	data := "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(png))
	image := func(url string) string { return fmt.Sprintf(`{"type": "image_url", "image_url": {"url": %q}}`, url) }
	put(t, dir, "batch.jsonl", strings.Join([]string{
		request("one", `[{"type": "text", "text": "Read."}, `+image("a.png")+`, {"type": "text", "text": "All."}]`,
			`, "max_tokens": 10, "temperature": 0.5, "seed": 3, "n": 1, "top_p": 1.0, "stream": false, "stop": null, "response_format": {"type": "text"}`),
		request("two", `[`+image("file:///tmp/a%20b.png")+`]`, `, "max_completion_tokens": 20`),
		request("three", `[{"type": "image_url", "image_url": {"url": "c.png", "detail": "high"}}]`, ``),
		``,
		request("four", `[{"type": "text", "text": "Read."}, `+image(data)+`]`, ``),
		request("five", `[{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]`, ``),
		request("six", `[`+image("a.png")+`]`, ``),
		request("seven", `[`+image("a.png")+`]`, ``), // another request, and so another item
		request("seven", `[`+image("./a.png")+`]`, ``),
		`{"path": "custom_id \"body\".png", "prompt": "\"body\""}`,
	}, "\n"))
	s := open(t, images, "batch.jsonl")
	got := itemsOf(t, s)
	prompt := func(s string) *job.Options { return &job.Options{Prompt: s} }
	want := []Item{
		{Path: "a.png", File: "a.png", CustomID: "one", Line: "batch.jsonl:1", Options: &job.Options{Prompt: "Read.\nAll.", MaxTokens: 10, Temperature: 0.5, Seed: 3}},
		{Path: "/tmp/a b.png", File: "/tmp/a b.png", CustomID: "two", Line: "batch.jsonl:2", Options: &job.Options{MaxTokens: 20}},
		{Path: "c.png", File: "c.png", CustomID: "three", Line: "batch.jsonl:3", Options: &job.Options{Budget: 1120}},
		{Path: "batch.jsonl/5.png", CustomID: "four", Line: "batch.jsonl:5", Options: prompt("Read.")},
		{Path: "batch.jsonl/6.wav", CustomID: "five", Line: "batch.jsonl:6"},
		{Path: "a.png", File: "a.png", CustomID: "six", Line: "batch.jsonl:7"},
		{Path: "a.png", File: "a.png", CustomID: "seven", Line: "batch.jsonl:8"},
		{Path: `custom_id "body".png`, File: `custom_id "body".png`, Line: "batch.jsonl:10", Options: prompt(`"body"`)},
	}
	if diff := cmp.Diff(want, got, compareItems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"./a.png: named twice, in batch.jsonl:8 and batch.jsonl:9"}, s.Warnings()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if b := bytesOf(t, got[3]); b != png {
		t.Errorf("got %q", b)
	}
	if b := bytesOf(t, got[4]); b != "RIFF" {
		t.Errorf("got %q", b)
	}
	again, err := Reopen(t.Context(), "batch.jsonl/5.png")
	if err != nil || read(t, again.File) != png {
		t.Errorf("reopened %+v, %v", again, err)
	}
	again.Release()
	// As errors.jsonl would name it.
	put(t, dir, "errors.jsonl", `{"path": "batch.jsonl/5.png", "error": "x"}`)
	if b := bytesOf(t, itemsOf(t, open(t, images, "errors.jsonl"))[0]); b != png {
		t.Errorf("got %q", b)
	}
	put(t, dir, "batch.jsonl", "changed\n")
	if b := bytesOf(t, got[4]); b != "the manifest has no such line" {
		t.Errorf("got %q", b)
	}
}

func TestBatchRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	a := `[{"type": "image_url", "image_url": {"url": "a.png"}}]`
	url := func(s string) string {
		return request("x", fmt.Sprintf(`[{"type": "image_url", "image_url": {"url": %q}}]`, s), "")
	}
	in := func(old, new string) string { return strings.Replace(request("x", a, ""), old, new, 1) }
	for text, want := range map[string]string{
		request("x", a, `, "tools": []`):                                 `body: tools: not offered for manifests`,
		request("x", a, `, "n": 2`):                                      `body: n: 2: only 1 is offered for manifests`,
		request("x", a, `, "stream": true`):                              `body: stream: true: only false is offered for manifests`,
		request("x", a, `, "response_format": {"type": "json_object"}`):  `body: response_format: type "json_object" is not offered for manifests, only text`,
		request("x", a, `, "max_tokens": 1.5`):                           `body: max_tokens: want a whole number, not negative`,
		request("x", a, `, "max_tokens": 0`):                             `body: max_tokens: want at least 1`,
		request("x", a, `, "max_tokens": 1, "max_completion_tokens": 1`): `body: max_tokens and max_completion_tokens: want one of them`,
		request("x", a, `, "temperature": "hot"`):                        `body: temperature: want a number`,
		request("x", a, `, "temperature": -1`):                           `temperature -1 is not in 0 to 100`,
		request("x", a, `, "seed": -1`):                                  `body: seed: want a whole number, not negative`,
		request("x", `"only text"`, ""):                                  `body: no image, sound, video or document in this request`,
		request("x", `[]`, ""):                                           `body: no image, sound, video or document in this request`,
		request("x", a[:len(a)-1]+","+a[1:], ""):                         `body: messages: content: part 2: a second medium: a request is about one`,
		request("x", `[{"type": "refusal"}]`, ""):                        `body: messages: content: part 1: type "refusal": want text, image_url, audio_url, video_url, input_audio or file, and its value under that name`,
		url("https://example.org/a.png"):                                 `body: messages: content: part 1: https://example.org/a.png: addresses are not fetched: name a file`,
		url("file://elsewhere/a.png"):                                    `body: messages: content: part 1: file URL of another host, "elsewhere"; of this one it begins with file:///`,
		url("file:///a.png?x"):                                           `body: messages: content: part 1: file URL with a query or a fragment: write ? as %3F and # as %23`,
		url("data:image/png,abc"):                                        `body: messages: content: part 1: data URL that is not base64`,
		url("data:image/png;base64"):                                     `body: messages: content: part 1: data URL without a comma`,
		url("data:,"):                                                    `body: messages: content: part 1: data URL that is not base64`,
		url("data:image/png;base64,"):                                    `body: messages: content: part 1: the file is empty`,
		url(""):                                                          `body: messages: content: part 1: no url`,
		url("a\x00b"):                                                    `body: messages: content: part 1: a zero byte in a name`,
		in("POST", "GET"):                                                `method: "GET": only POST is offered for manifests`,
		in("chat/completions", "embeddings"):                             `url: "/v1/embeddings": only /v1/chat/completions is offered for manifests`,
		in(`"method"`, `"methods"`):                                      `methods: unknown key of a request`,
		in(`"role": "user"`, `"role": "system"`):                         `body: messages: message 1: role "system": there is one message, the user's`,
		in(`"content"`, `"contents"`):                                    `body: messages: json: unknown field "contents"`,
		`{"custom_id": "x"}`:                                             `no body in this request`,
		`{"custom_id": 1, "body": {}}`:                                   `custom_id: want a string`,
		`{"custom_id": "x", "body": []}`:                                 `body: want an object`,
		`{"body": {}, "body": {}}`:                                       `byte 13: key "body" is there twice`,
	} {
		put(t, dir, "bad.jsonl", `{"path": "a.png"}`+"\n"+strings.ReplaceAll(text, `\x00`, `\u0000`))
		if _, err := Open([]string{"bad.jsonl"}, images); err == nil || err.Error() != "bad.jsonl:2: "+want {
			t.Errorf("%s:\n got %v\nwant bad.jsonl:2: %s", text, err, want)
		}
	}
}

// An entry that is an archive stands for its members, with what it says.
func TestManifestOfArchives(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "a.tar", string(tarOf(t, entryOf{name: "x.png"}, entryOf{name: "y.png"})))
	put(t, dir, "list.jsonl", `{"path": "a.tar", "job": "ocr", "budget": 70}
{"path": "a.tar", "id": "0123"}
{"path": "missing.tar"}`)
	s := open(t, images, "list.jsonl")
	want := []Item{
		{Path: "a.tar/x.png", Job: "ocr", Line: "list.jsonl:1", Options: &job.Options{Budget: 70}},
		{Path: "a.tar/y.png", Job: "ocr", Line: "list.jsonl:1", Options: &job.Options{Budget: 70}},
		{Path: "a.tar", File: "a.tar", ID: "0123", Line: "list.jsonl:2"}, // about the file itself
		{Path: "missing.tar", File: "missing.tar", Line: "list.jsonl:3"},
	}
	got := itemsOf(t, s)
	if diff := cmp.Diff(want, got, compareItems, cmpopts.IgnoreFields(Item{}, "Stat")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The same path for something else is another item.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "list.jsonl", `{"path": "a.pdf"}
{"path": "a.pdf", "page": 1}
{"path": "./a.pdf", "page": 2}
{"path": "a.pdf", "page": 2, "job": "ocr"}
{"path": "a.pdf", "page": 2, "job": "ocr", "budget": 70}
{"path": "a.pdf", "page": 2, "job": "ocr", "budget": 140}
{"path": "x/../a.pdf", "page": 2, "job": "ocr", "budget": 140, "error": "x"}
{"path": "`+filepath.ToSlash(dir)+`/a.pdf", "page": 1, "seed": 0}`)
	s := open(t, images, "list.jsonl", "a.pdf")
	if s.Len() != 6 || len(s.Warnings()) != 3 {
		t.Errorf("%d items, warnings %q", s.Len(), s.Warnings())
	}
}

func TestStream(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	say := func(s string) {
		if _, err := io.WriteString(w, s); err != nil {
			t.Error(err)
		}
	}
	talk := make(chan string)
	go func() {
		for s := range talk {
			say(s)
		}
		w.Close()
	}()
	path := put(t, t.TempDir(), "a.png", "bytes")
	steps := []struct{ line, want string }{
		{"{\"path\": \"" + filepath.ToSlash(path) + "\"}\n", filepath.ToSlash(path) + " in:1 5 bytes <nil>"},
		{"\n{\"path\": \"b.png\", \"bugdet\": 1, \"id\": \"7\"}\r\n", "b.png 7 in:3 0 bytes json: unknown field \"bugdet\""},
		{"no JSON\n", " in:4 0 bytes byte 0: want a value"},
		{strings.Repeat("x", 2<<20) + "\n", " in:5 0 bytes longer than 1048576 bytes"},
		{request("req", `[{"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}}]`, "") + "\n", "in/6.png req in:6 0 bytes <nil>"},
		{request("bad", `[{"type": "image_url", "image_url": {"url": "http://x"}}]`, "") + "\n", " bad in:7 0 bytes body: messages"},
		{`{"path": "last.png"}`, "last.png in:8 0 bytes <nil>"},
	}
	talk <- steps[0].line
	n := 0
	for item, err := range Stream(t.Context(), r, "in") {
		var words []string
		for _, w := range []string{item.Path, item.ID, item.CustomID, item.Line} {
			if w != "" {
				words = append(words, w)
			}
		}
		got := fmt.Sprintf("%s %d bytes %v", strings.Join(words, " "), item.Stat.Size, err)
		if n < len(steps) && !strings.HasPrefix(got, strings.TrimPrefix(steps[n].want, " ")) {
			t.Errorf("%d: got %q, want %q", n, got, steps[n].want)
		}
		if item.CustomID == "req" {
			if b := bytesOf(t, item); b != "abc" {
				t.Errorf("got %q", b)
			}
		}
		if n++; n < len(steps) {
			talk <- steps[n].line
		}
		if n == len(steps)-1 { // whose line has no end
			close(talk)
		}
	}
	if n != len(steps) {
		t.Errorf("%d items, want %d", n, len(steps))
	}
	for range Stream(t.Context(), strings.NewReader("{}\n{}\n"), "in") {
		break
	}
}

// A line beyond all bounds is an error and the next is read.
func TestLongLine(t *testing.T) {
	in := newLines(io.MultiReader(io.LimitReader(letters{}, maxLine+100_000), strings.NewReader("\nnext\n")))
	if l, ok := in.next(); !ok || l.err == nil || len(l.text) > 0 {
		t.Errorf("got %d bytes, %v", len(l.text), l.err)
	}
	if l, ok := in.next(); !ok || l.err != nil || string(l.text) != "next" || l.number != 2 || l.offset != maxLine+100_001 {
		t.Errorf("got %.20q, %v", l.text, l.err)
	}
	if _, ok := in.next(); ok {
		t.Error("a third line")
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
