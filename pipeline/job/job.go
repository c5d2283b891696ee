// Package job knows what to ask about an input and how to read the answer.
//
// One item's way through it:
//
//	plan   := OCR.Plan(options, checkpoint)   // 1. what the user chose, over what the checkpoint was trained for
//	tokens := … the model's reply to plan.Prompt and the image
//	OCR.Read(&record, Reply{tokens, …})       // 2. reply → text, blocks, warnings
//	record.Line()                             // 3. one line of records.jsonl
//
// A job is a value: a name, a question and a reader. A reply is foreign input
// like any file: whatever it holds, a reader does not fail. It keeps what it
// can and says in the record's warnings what it could not use.
package job

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"facet/audio"
	"facet/vision"
)

// Job is what to ask about one item and how to read the reply.
type Job struct {
	Name string

	// MaxTokens bounds a reply where the user sets no bound.
	MaxTokens int

	// Boxes are the kinds of boxes the job can ask for, the default first.
	Boxes []Boxes

	// Media are the kinds of input that the job can be done on.
	Media []Medium

	// Pages says that the job reads text from pages, so that an empty one need not be asked about.
	Pages bool

	// Ask gives the question about each part of an input of a kind for a released Gemma 4
	// checkpoint. Options.Prompt is not its business, see Plan.
	Ask func(Options, Medium) string

	// Asks, if not nil, is in place of Ask where there may be several questions about one image, each asked by itself. It
	// knows what to do with Options.Prompt and with what the checkpoint says.
	Asks func(Options, Setting) ([]Ask, error)

	// Own returns the options that are about the question. An option that means nothing to the
	// job is an error, so that none is ignored in silence.
	Own func(Options) (Options, error)

	// Read fills what the job says of an item in rec, its Finish included, and appends to its
	// Warnings. The replies are those about the parts of the item, in the order of the parts;
	// an image is one part, and a page that was not asked about has none. It panics if an
	// image's size is not positive, and for no other reason. Safe for concurrent use on different records.
	Read func(rec *Record, replies []Reply)

	// Sum, if not nil, gives a question about the whole of an item that Read was done with;
	// its reply goes to Summarise. No question, no summary.
	Sum       func(rec *Record, o Options) string
	Summarise func(rec *Record, reply Reply)
}

// Medium is a kind of input.
type Medium string

// The kinds of input.
const (
	Image Medium = "image"
	Sound Medium = "sound"
	Film  Medium = "video"
)

// All lists the jobs.
var All = []Job{OCR, Transcribe, Caption, Locate}

// ByName finds a job in All.
func ByName(name string) (Job, bool) {
	i := slices.IndexFunc(All, func(j Job) bool { return j.Name == name })
	if i < 0 {
		return Job{}, false
	}
	return All[i], true
}

// Boxes says what the reply locates.
type Boxes string

// BoxesLine asks for a box around each line of text, BoxesNone for plain text.
const (
	BoxesLine Boxes = "line"
	BoxesNone Boxes = "none"
)

// Blank says what becomes of a page that is certainly empty.
type Blank string

// BlankSkip does not ask the model about it, and is the default where the question is the job's own or the
// checkpoint's; BlankAsk asks about every page.
const (
	BlankSkip Blank = "skip"
	BlankAsk  Blank = "ask"
)

// Rotate says by how many degrees clockwise a page is turned before it is read, after what its file asks for.
type Rotate string

// RotateAuto turns a page that cannot be read well as it is, and keeps what reads best. Empty is 0.
const RotateAuto Rotate = "auto"

// Turns are the values of Rotate besides RotateAuto, and what they stand for.
var Turns = map[Rotate]int{"": 0, "0": 0, "90": 90, "180": 180, "270": 270}

// Options are what a user may choose for an item, on the command line or in
// a manifest. A zero field means the default.
type Options struct {
	Budget      int     `json:"budget,omitempty"` // soft tokens an image; 0 is chosen by image size
	Boxes       Boxes   `json:"boxes,omitempty"`
	Blank       Blank   `json:"blank,omitempty"`    // of pages
	Language    string  `json:"language,omitempty"` // as a person would name it: "German"
	Prompt      string  `json:"prompt,omitempty"`   // in place of the job's own question
	MaxTokens   int     `json:"max_tokens,omitempty"`
	Temperature float64 `json:"temperature,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	Rotate      Rotate  `json:"rotate,omitempty"`
	// SkipTextLayer takes pages of documents that have text in the file itself from there, without the model.
	SkipTextLayer bool  `json:"skip_text_layer,omitempty"`
	DPI           int   `json:"dpi,omitempty"`  // pixels an inch of a document's pages; 0: what the budget can use
	Find          Finds `json:"find,omitempty"` // what to locate; all elements if nothing is named
	Listening
	Watching
}

// Listening are the options about sound.
type Listening struct {
	Translate string  `json:"translate,omitempty"` // language, as a person would name it
	Context   string  `json:"context,omitempty"`   // names and words that are likely to be said
	Numbers   Numbers `json:"numbers,omitempty"`
	Segment   int     `json:"segment,omitempty"`         // most seconds of a piece, 5 to 30; 0: 30
	Subtitles bool    `json:"subtitles,omitempty"`       // pieces of 2 to 12 s that end in pauses
	Channels  string  `json:"channels,omitempty"`        // mix, split or the number of one; mix by default
	Detect    bool    `json:"detect_language,omitempty"` // ask which language is spoken
	Track     int     `json:"track,omitempty"`           // of sound, or of pictures for caption; from 1; 0: what a player plays
}

// Watching are the options about films and captions.
type Watching struct {
	Detail     Detail  `json:"detail,omitempty"`
	WithSpeech bool    `json:"with_speech,omitempty"` // transcribe the sound as well
	Window     float64 `json:"window,omitempty"`      // most seconds of a scene; 0: 30
	FPS        float64 `json:"fps,omitempty"`         // frames looked at a second; 0: as many as fit a scene
	Frames     int     `json:"frames,omitempty"`      // most frames of a scene; 0: what the model was trained with
	Scene      float64 `json:"scene,omitempty"`       // share of change, 0 to 1, above which a scene ends; 0: scenes are windows
	FastSeek   bool    `json:"fast_seek,omitempty"`   // keyframes only
}

// Numbers says how spoken numbers are written.
type Numbers string

// NumbersDigits writes 3 for three, and is the default; NumbersWords leaves them as they are said.
const (
	NumbersDigits Numbers = "digits"
	NumbersWords  Numbers = "words"
)

// Detail says how much a caption tells.
type Detail string

// DetailShort is a sentence, and the default; DetailLong a paragraph.
const (
	DetailShort Detail = "short"
	DetailLong  Detail = "long"
)

// Plan is what to ask for one item: Options with the defaults of job and
// checkpoint filled in.
type Plan struct {
	Prompt    string
	Boxes     Boxes
	Budget    int // 0: by image size
	MaxTokens int
	SkipBlank bool // a page that is certainly empty is not asked about

	// As in Options; 0: neither user nor checkpoint says.
	Segment int
	Window  float64
	Frames  int

	// Asks are the questions of a job that may have several about one image; Prompt is then all of them, a line each.
	Asks []Ask
}

// Ask is a question about an image.
type Ask struct {
	Find string // what it asks for; "" for anything
	Text string
}

// Questions are all that is asked about a part.
func (p Plan) Questions() []Ask {
	if len(p.Asks) == 0 {
		return []Ask{{Text: p.Prompt}}
	}
	return p.Asks
}

// Question is the text of the one that asks for find.
func (p Plan) Question(find string) string {
	for _, a := range p.Asks {
		if a.Find == find {
			return a.Text
		}
	}
	return p.Prompt
}

// Plan fills in what o leaves open. The user's word goes before the
// checkpoint's, and that before the job's. A checkpoint that sets the prompt
// knows only that one, so options that would change it are errors instead of
// being ignored.
//
// The question is the one about inputs of the given kind.
func (j Job) Plan(o Options, c Checkpoint, m Medium) (Plan, error) {
	s := c.Jobs[j.Name]
	known := j.Boxes
	if len(s.Boxes) > 0 {
		known = s.Boxes
	}
	p := Plan{Boxes: o.Boxes, Budget: o.Budget, MaxTokens: o.MaxTokens}
	p.SkipBlank = j.Pages && (o.Blank == BlankSkip || o.Blank == "" && o.Prompt == "")
	if p.Boxes == "" && len(known) > 0 {
		p.Boxes = known[0]
	}
	p.Budget = cmp.Or(p.Budget, s.Budget)
	p.Segment, p.Window, p.Frames = cmp.Or(o.Segment, s.Segment), cmp.Or(o.Window, s.Window), cmp.Or(o.Frames, s.Frames)
	p.MaxTokens = cmp.Or(p.MaxTokens, j.MaxTokens)
	if err := o.check(); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", j.Name, err)
	}
	o, err := j.Own(o)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", j.Name, err)
	}
	if j.Asks != nil {
		if p.Asks, err = j.Asks(o, s); err != nil {
			return Plan{}, fmt.Errorf("%s: %w", j.Name, err)
		}
		lines := make([]string, len(p.Asks))
		for i, a := range p.Asks {
			lines[i] = a.Text
		}
		p.Prompt = strings.Join(lines, "\n")
		return p, nil
	}
	worded := o.worded()
	switch {
	case o.Prompt != "":
		if worded != "" {
			return Plan{}, fmt.Errorf("%s: %s has no place in a prompt of your own: name it there", j.Name, worded)
		}
		if len(j.Boxes) > 0 && !slices.Contains(j.Boxes, p.Boxes) {
			return Plan{}, fmt.Errorf("%s: boxes %q: want one of %v", j.Name, p.Boxes, j.Boxes)
		}
		p.Prompt = o.Prompt
		return p, nil
	case len(known) > 0 && !slices.Contains(known, p.Boxes):
		return Plan{}, fmt.Errorf("%s: boxes %q: this checkpoint answers with one of %v", j.Name, p.Boxes, known)
	case s.Prompt != "":
		if worded != "" {
			return Plan{}, fmt.Errorf("%s: %s: this checkpoint knows one prompt only, %q", j.Name, worded, s.Prompt)
		}
		p.Prompt = s.Prompt
		if p.Boxes == BoxesNone {
			p.Prompt = cmp.Or(s.Plain, s.Prompt)
		}
		return p, nil
	}
	o.Boxes = p.Boxes
	p.Prompt = j.Ask(o, m)
	return p, nil
}

// PromptSHA256 is the hash kept in Effective.PromptSHA256: of the question
// alone, without the media and the chat frame around it.
func (p Plan) PromptSHA256() string {
	sum := sha256.Sum256([]byte(p.Prompt))
	return hex.EncodeToString(sum[:])
}

// worded names an option that changes how a job words its question, "" if none does.
func (o Options) worded() string {
	switch {
	case o.Language != "":
		return fmt.Sprintf("language %q", o.Language)
	case o.Translate != "":
		return fmt.Sprintf("translate %q", o.Translate)
	case o.Context != "":
		return "context"
	case o.Numbers == NumbersWords:
		return fmt.Sprintf("numbers %q", o.Numbers)
	case o.Detail == DetailLong:
		return fmt.Sprintf("detail %q", o.Detail)
	}
	return ""
}

// strange is the error for options that are left when a job has taken its own out.
func (o Options) strange() error {
	o.Prompt, o.MaxTokens, o.Temperature, o.Seed = "", 0, 0, 0 // which all have
	left, err := json.Marshal(o)
	if err != nil || string(left) == "{}" {
		return err
	}
	return fmt.Errorf("%s: this job has no such option", left)
}

// check refuses values no job can use. Manifests reach it as well as flags.
func (o Options) check() error {
	switch {
	case !knownBudget(o.Budget):
		return fmt.Errorf("budget %d: want one of %v", o.Budget, vision.Budgets)
	case o.Blank != "" && o.Blank != BlankSkip && o.Blank != BlankAsk:
		return fmt.Errorf("blank %.40q: want %s or %s", o.Blank, BlankSkip, BlankAsk)
	case o.Rotate != RotateAuto && Turns[o.Rotate] == 0 && o.Rotate != "" && o.Rotate != "0":
		return fmt.Errorf("rotate %.40q: want auto, 0, 90, 180 or 270", o.Rotate)
	case o.MaxTokens < 0:
		return fmt.Errorf("max_tokens %d is negative", o.MaxTokens)
	case !(o.Temperature >= 0 && o.Temperature <= 100): // as model.Sampling has it
		return fmt.Errorf("temperature %v is not in 0 to 100", o.Temperature)
	case o.DPI != 0 && (o.DPI < leastDPI || o.DPI > mostDPI):
		return fmt.Errorf("dpi %d is not in %d to %d", o.DPI, leastDPI, mostDPI)
	case len(o.Prompt) > maxPrompt:
		return fmt.Errorf("prompt of %d bytes: at most %d", len(o.Prompt), maxPrompt)
	case len(o.Language) > maxLanguage || strings.ContainsFunc(o.Language, unicode.IsControl):
		return fmt.Errorf("language %.40q is not a name", o.Language)
	}
	if o.Detect && o.Language != "" {
		return fmt.Errorf("language %q is given: there is none to detect", o.Language)
	}
	if err := o.Find.check(); err != nil {
		return err
	}
	if err := o.Listening.check(); err != nil {
		return err
	}
	return o.Watching.check()
}

func (l Listening) check() error {
	switch {
	case len(l.Translate) > maxLanguage || strings.ContainsFunc(l.Translate, unicode.IsControl):
		return fmt.Errorf("translate %.40q is not the name of a language", l.Translate)
	case len(l.Context) > maxPrompt:
		return fmt.Errorf("context of %d bytes: at most %d", len(l.Context), maxPrompt)
	case l.Numbers != "" && l.Numbers != NumbersDigits && l.Numbers != NumbersWords:
		return fmt.Errorf("numbers %.40q: want %s or %s", l.Numbers, NumbersDigits, NumbersWords)
	case l.Segment != 0 && (l.Segment < 5 || l.Segment > 30):
		return fmt.Errorf("segment %d is not in 5 to 30 seconds", l.Segment)
	case l.Segment != 0 && l.Subtitles:
		return fmt.Errorf("segment %d: subtitles have pieces of their own length", l.Segment)
	case l.Track < 0:
		return fmt.Errorf("track %d: tracks are counted from 1", l.Track)
	}
	_, err := audio.ParseChannels(cmp.Or(l.Channels, "mix"))
	return err
}

func (w Watching) check() error {
	switch {
	case w.Detail != "" && w.Detail != DetailShort && w.Detail != DetailLong:
		return fmt.Errorf("detail %.40q: want %s or %s", w.Detail, DetailShort, DetailLong)
	case w.Window != 0 && !(w.Window >= 1 && w.Window <= 3600):
		return fmt.Errorf("window %v is not in 1 to 3600 seconds", w.Window)
	case w.FPS != 0 && !(w.FPS > 0 && w.FPS <= 120):
		return fmt.Errorf("fps %v is not above 0 and at most 120", w.FPS)
	case w.Frames < 0 || w.Frames > maxFrames:
		return fmt.Errorf("frames %d: want 1 to %d", w.Frames, maxFrames)
	case !(w.Scene >= 0 && w.Scene <= 1):
		return fmt.Errorf("scene %v is not in 0 to 1", w.Scene)
	}
	return nil
}

// knownBudget reports whether n is a budget that the models were trained with, or 0 for
// none. A larger one would take any amount of memory.
func knownBudget(n int) bool { return n == 0 || slices.Contains(vision.Budgets, n) }

const (
	maxPrompt   = 64 << 10 // bytes; a question is text, not a document
	maxLanguage = 64       // bytes
	leastDPI    = 10       // of a page of 200 inches, the largest that PDF has without a unit of its own
	mostDPI     = 2400
	maxFrames   = 256 // of a scene; Gemma 4 was trained with 32
)

// Token is one output token.
type Token struct {
	// Text is what the token adds to the reply, in bytes: it may end inside
	// a character, or be empty where a decoder holds bytes back.
	Text string
	// LogProb is the natural logarithm of its probability among the tokens that were allowed. It is NaN where it
	// says nothing about the text: if it is unknown, if no other token was allowed, and of what is no part of the answer, as a thought.
	LogProb float32
}

// Plain is a reply whose probabilities are not known, as tokens.
func Plain(text string) []Token {
	return []Token{{Text: text, LogProb: float32(math.NaN())}}
}

// Reply is what the model answered about one part of an item: an image, a piece of a
// recording, or some seconds of a film.
type Reply struct {
	Tokens        []Token     // their texts, joined, are the reply, without thinking and end token
	Finish        Finish      // why generation ended: FinishStop, FinishLength or FinishLoop
	Loop          Loop        // where it loops, if Finish is FinishLoop
	Boxes         Boxes       // what was asked for, from Plan
	Find          string      // what is to be located, from Ask
	Width, Height int         // of an image: the original upright one, in pixels
	Ink           *vision.Ink // of an image: what is on it; nil if that was not looked at

	Medium     Medium       // of the part
	Start, End float64      // of a stretch of time, in seconds
	Channel    int          // of sound, from 1; 0: all mixed
	Track      int          // of sound, from 1; 0: the file has one
	Pauses     []audio.Span // in the sound
	Subtitles  bool         // what is said becomes segments that can be read as subtitles
	Attempts   int          // how often it was asked about; Tries, if there are any, count as well
	Tries      []Attempt    // all of them, the kept one marked
	Language   string       // what the user said is spoken
	Detects    bool         // the question was which language is spoken, see AskLanguage
	Translate  string       // what is said was to be translated into this language
}

// Loop says where a reply began to repeat itself, as model.Loop does; zero is unknown.
type Loop struct {
	Keep  int // tokens up to the end of the first round
	Times int // rounds, the first included
}

// kept is a reply without what it repeated: the rounds of its loop after the first one.
func (r Reply) kept() Reply {
	if r.Finish == FinishLoop && 0 < r.Loop.Keep && r.Loop.Keep < len(r.Tokens) {
		r.Tokens = r.Tokens[:r.Loop.Keep]
	}
	return r
}

// looped says that a reply repeated itself, and how often if that is known.
func (r Reply) looped() string {
	if r.Loop.Times > 0 {
		return fmt.Sprintf("repeated itself %d times", r.Loop.Times)
	}
	return "repeated itself"
}

// text joins the tokens.
func (r Reply) text() string {
	n := 0
	for _, t := range r.Tokens {
		n += len(t.Text)
	}
	var b strings.Builder
	b.Grow(n)
	for _, t := range r.Tokens {
		b.WriteString(t.Text)
	}
	return b.String()
}

// confidences maps byte spans of a reply to probabilities.
type confidences struct {
	start []int // byte offset of each token, ascending, then the reply's length
	log   []float32
}

func newConfidences(tokens []Token) confidences {
	c := confidences{start: make([]int, len(tokens)+1), log: make([]float32, len(tokens))}
	for i, t := range tokens {
		c.start[i+1] = c.start[i] + len(t.Text)
		c.log[i] = t.LogProb
	}
	return c
}

// span returns exp(mean log-probability) of the tokens whose bytes are all in [from, to),
// from 0.0001 to 1 in steps of 0.0001; 0 means unknown. A token that holds bytes of the form
// around it as well, such as `."},`, tells mostly how sure the model is of the form: such tokens count
// only where there are no others. Tokens whose probability is NaN do not count. An empty token belongs to the byte it stands before.
func (c confidences) span(from, to int) float64 {
	if from >= to {
		return 0
	}
	i, _ := slices.BinarySearch(c.start, from) // the first token that starts at from or later
	if i > 0 && c.start[i] > from {
		i-- // from lies inside the token before it
	}
	var inside, shared struct {
		sum float64
		n   int
	}
	for ; i < len(c.log) && c.start[i] < to; i++ {
		if math.IsNaN(float64(c.log[i])) {
			continue
		}
		kind := &inside
		if c.start[i] < from || c.start[i+1] > to {
			kind = &shared
		}
		kind.sum += float64(c.log[i])
		kind.n++
	}
	if inside.n == 0 {
		inside = shared
	}
	p := math.Exp(inside.sum / float64(inside.n))
	if math.IsNaN(p) {
		return 0
	}
	return min(1, max(1, math.Round(p*confidenceSteps))/confidenceSteps)
}

// confidenceSteps is how finely a confidence is told: four places are more
// than the number means, and keep records short. Zero is left for "unknown".
const confidenceSteps = 1e4
