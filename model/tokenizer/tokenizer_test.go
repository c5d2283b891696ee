package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"facet/fixtures"
)

var checkpoints = []string{"golden/checkpoints/tiny-e", "nano"}

func open(t testing.TB, checkpoint string) *Tokenizer {
	t.Helper()
	tok, err := Open(filepath.Join(fixtures.Path(checkpoint), "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(fixtures.Path(name))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The ids and texts of Hugging Face's tokenizers, special tokens matched.
func TestGoldenTokens(t *testing.T) {
	tok := open(t, "golden/checkpoints/tiny-e")
	var cases []struct {
		Text        string
		IDs         []int32
		Decoded     string
		SkipSpecial string `json:"decoded_skip_special"`
	}
	readJSON(t, "golden/text/tokens.json", &cases)
	if len(cases) < 20 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		if got := tok.EncodeSpecial(c.Text, nil); !slices.Equal(got, c.IDs) {
			t.Errorf("EncodeSpecial(%.80q)\n got %v\nwant %v", c.Text, got, c.IDs)
		}
		if got := tok.Decode(c.IDs, false); got != c.Decoded {
			t.Errorf("Decode(%v) = %q, want %q", c.IDs, got, c.Decoded)
		}
		if got := tok.Decode(c.IDs, true); got != c.SkipSpecial {
			t.Errorf("Decode(%v, skip) = %q, want %q", c.IDs, got, c.SkipSpecial)
		}
	}
}

func TestGoldenDecode(t *testing.T) {
	tok := open(t, "golden/checkpoints/tiny-e")
	var cases []struct {
		IDs     []int32
		Decoded string
	}
	readJSON(t, "golden/text/decode.json", &cases)
	for _, c := range cases {
		if got := tok.Decode(c.IDs, false); got != c.Decoded {
			t.Errorf("Decode(%v) = %q, want %q", c.IDs, got, c.Decoded)
		}
	}
}

// The nano checkpoint's prompts and answers, as transformers saw them: an image or
// recording stands as its placeholder in the text and as its soft tokens in the ids.
func TestGoldenNano(t *testing.T) {
	tok := open(t, "nano")
	data, err := os.ReadFile(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	id := func(token string) int32 {
		id, ok := tok.ID(token)
		if !ok || !tok.IsSpecial(id) || tok.Token(id) != token {
			t.Fatalf("ID(%q) = %d, %v", token, id, ok)
		}
		return id
	}
	marks := []int32{id("<|image>"), id("<image|>"), id("<|audio>"), id("<audio|>")}
	image, sound, turn := id("<|image|>"), id("<|audio|>"), id("<turn|>")
	for line := range strings.Lines(string(data)) {
		var c struct {
			File, Prompt, Output string
			InputIDs             []int32 `json:"input_ids"`
			OutputIDs            []int32 `json:"output_ids"`
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.Prompt, "<|video|>") { // which stands for text as well
			continue
		}
		want := slices.DeleteFunc(c.InputIDs, func(id int32) bool { return slices.Contains(marks, id) })
		want = slices.CompactFunc(want, func(a, b int32) bool { return a == b && (a == image || a == sound) })
		if got := tok.EncodeSpecial(c.Prompt, nil); !slices.Equal(got, want) {
			t.Errorf("%s: EncodeSpecial(%q)\n got %v\nwant %v", c.File, c.Prompt, got, want)
		}
		ids := slices.DeleteFunc(c.OutputIDs, func(id int32) bool { return id == turn })
		if got := tok.Decode(ids, false); got != c.Output {
			t.Errorf("%s: Decode = %q, want %q", c.File, got, c.Output)
		}
	}
}

// samples are texts from letters, words, spaces, marks, control strings and
// any other characters.
func samples(seed uint64, n int) []string {
	rng := rand.New(rand.NewPCG(seed, 0))
	words := []string{"the", " committee ", "\n", "\n\n", "  ", "<|turn>", "<turn|>", "<unk>", "<0x41>", "<0xE4>", "<|\"|>",
		"[{\"box_2d\":[", ",120", "é", "你好", "🙂", "\u200d", "\u0301", "a", "b", "in", "\x00", "user\n", "<", "|>"}
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range rng.IntN(20) {
			switch rng.IntN(4) {
			case 0:
				r := rune(rng.IntN(0x110000))
				if utf8.ValidRune(r) {
					b.WriteRune(r)
				}
			case 1:
				b.WriteByte(byte(rng.IntN(128)))
			default:
				b.WriteString(words[rng.IntN(len(words))])
			}
		}
		texts[i] = b.String()
	}
	return texts
}

// checkRoundTrip holds for any text: ids in range, no control token from
// Encode, and decoding gives the text back, whole and as a stream.
func checkRoundTrip(t *testing.T, tok *Tokenizer, text string) {
	t.Helper()
	want := strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "▁", " ")
	ids := tok.Encode(text, nil)
	for _, id := range ids {
		if id < 0 || int(id) >= tok.Size() || tok.IsSpecial(id) {
			t.Fatalf("Encode(%q) has %d %q", text, id, tok.Token(id))
		}
	}
	var raw []byte
	for _, id := range ids {
		raw = append(raw, tok.Bytes(id)...)
	}
	if string(raw) != want {
		t.Fatalf("Bytes of Encode(%q) = %q", text, raw)
	}
	for name, ids := range map[string][]int32{"Encode": ids, "EncodeSpecial": tok.EncodeSpecial(text, nil)} {
		if got := tok.Decode(ids, false); got != want {
			t.Fatalf("Decode(%s(%q)) = %q", name, text, got)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, name := range checkpoints {
		tok := open(t, name)
		for _, text := range samples(1, 3000) {
			checkRoundTrip(t, tok, text)
		}
		checkRoundTrip(t, tok, "broken \xff\xc3 text \xed\xa0\x80")
	}
}

// slowMerge is the definition: look for the best pair, leftmost, merge, repeat.
func slowMerge(t *Tokenizer, text string) []int32 {
	ids := slices.Clone(t.symbols(text).id)
	for {
		best, at := uint32(noRank), -1
		for i := range len(ids) - 1 {
			if rank, ok := t.ranks[pair{ids[i], ids[i+1]}]; ok && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = t.merged[best]
		ids = slices.Delete(ids, at+1, at+2)
	}
}

func TestMergeIsTheSlowMerge(t *testing.T) {
	for _, name := range checkpoints {
		tok := open(t, name)
		texts := append(samples(2, 1500), strings.Repeat("\n", 100), strings.Repeat(" ", 101), strings.Repeat("the", 50))
		for _, text := range texts {
			text = normalize(text)
			if got, want := tok.merge(text, nil), slowMerge(tok, text); !slices.Equal(got, want) {
				t.Fatalf("%s: merge(%q)\n got %v\nwant %v", name, text, got, want)
			}
		}
	}
}

// A vocabulary whose merges, at worst, work through the text from one end.
func TestLongTextWithoutSpaces(t *testing.T) {
	tok := open(t, "golden/checkpoints/tiny-e")
	rng := rand.New(rand.NewPCG(3, 0))
	letters := make([]byte, 1<<20)
	for i := range letters {
		letters[i] = "etaoinshrdlu"[rng.IntN(12)]
	}
	for name, text := range map[string]string{
		"letters":  string(letters),
		"words":    strings.Repeat("thecommittee", 1<<20/12),
		"newlines": strings.Repeat("\n", 1<<20),
		"openers":  strings.Repeat("<|tool_respons", 1<<20/14),
	} {
		begin := time.Now()
		ids := tok.Encode(text, nil)
		took := time.Since(begin)
		if took > 2*time.Second {
			t.Errorf("%s: %d bytes took %v, want less than 2 s", name, len(text), took)
		}
		if got := tok.Decode(ids, false); got != text {
			t.Errorf("%s: Decode(Encode) differs", name)
		}
	}
}

// Every way to cut a reply into steps gives the text of the whole.
func TestStream(t *testing.T) {
	tok := open(t, "golden/checkpoints/tiny-e")
	rng := rand.New(rand.NewPCG(4, 0))
	for range 2000 {
		ids := make([]int32, rng.IntN(30))
		for i := range ids {
			if ids[i] = rng.Int32N(int32(tok.Size())); rng.IntN(3) > 0 {
				ids[i] = tok.byteID["\xe4\xbd\xa0\xf0\x9f\x99\x82A"[rng.IntN(8)]]
			}
		}
		skip := rng.IntN(2) == 0
		s := tok.NewStream(skip)
		var got strings.Builder
		for _, id := range ids {
			piece := s.Add(id)
			if !utf8.ValidString(piece) {
				t.Fatalf("%v: piece %q is not UTF-8", ids, piece)
			}
			got.WriteString(piece)
		}
		got.WriteString(s.Flush())
		if want := slowDecode(tok, ids, skip); got.String() != want {
			t.Fatalf("stream of %v = %q, want %q", ids, got.String(), want)
		}
	}
	if got := tok.Decode([]int32{-1, int32(tok.Size()), 346}, false); got != "a" {
		t.Errorf("ids out of range: %q, want \"a\"", got)
	}
}

// slowDecode works as the reference does, pass by pass over all tokens.
func slowDecode(t *Tokenizer, ids []int32, skip bool) string {
	var out, run string
	flush := func() {
		if utf8.ValidString(run) {
			out += run
		} else {
			out += strings.Repeat("\uFFFD", len(run))
		}
		run = ""
	}
	for _, id := range ids {
		token := t.Token(id)
		switch b := strings.Index(hex, strings.TrimSuffix(strings.TrimPrefix(token, "<0x"), ">")); {
		case skip && t.IsSpecial(id):
		case len(token) == 6 && strings.HasPrefix(token, "<0x") && b >= 0:
			run += string([]byte{byte(b / 3)})
		default:
			flush()
			out += strings.ReplaceAll(token, "▁", " ")
		}
	}
	flush()
	return out
}

// hex is "00 01 … FF ".
var hex = func() string {
	var b strings.Builder
	for i := range 256 {
		b.WriteString(strings.ToUpper(string("0123456789abcdef"[i/16]) + string("0123456789abcdef"[i%16]) + " "))
	}
	return b.String()
}()

func TestConcurrentUse(t *testing.T) {
	tok := open(t, "nano")
	want := tok.Encode("Read the text.", nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := tok.Encode("Read the text.", nil); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzEncode(f *testing.F) {
	for _, s := range samples(5, 20) {
		f.Add(s)
	}
	f.Add("\xff<|turn>▁ \xe4")
	tok := open(f, "golden/checkpoints/tiny-e")
	f.Fuzz(func(t *testing.T, text string) {
		checkRoundTrip(t, tok, text)
		if len(text) < 400 {
			run := normalize(strings.ToValidUTF8(text, "\uFFFD"))
			if got, want := tok.merge(run, nil), slowMerge(tok, run); !slices.Equal(got, want) {
				t.Fatalf("merge(%q)\n got %v\nwant %v", run, got, want)
			}
		}
	})
}
