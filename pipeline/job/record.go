package job

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"facet/internal/strictjson"
)

// Finish says why a reply ended.
type Finish string

// The ways a reply ends. A reader turns FinishStop into FinishSchema where
// the reply is complete but not in the form that was asked for; what could be
// read of it is kept.
const (
	FinishStop   Finish = "stop"
	FinishLength Finish = "length" // token limit
	FinishLoop   Finish = "loop"   // the model repeated itself
	FinishSchema Finish = "schema"
)

// Record is what facet writes about one item: one line of records.jsonl. The
// order of the fields is part of the format, and no field holds a time, so
// that the bytes depend on input and settings alone.
type Record struct {
	ID        string    `json:"id"`                  // see ID
	CustomID  string    `json:"custom_id,omitempty"` // by which the user knows the item
	Job       string    `json:"job"`
	Source    Source    `json:"source"`
	Effective Effective `json:"effective"`
	Text      string    `json:"text"`
	Blank     *bool     `json:"blank,omitempty"`      // of a page: no text is on it; of a recording: nobody speaks
	Blocks    []Block   `json:"blocks,omitzero"`      // of a page, never null
	TextLayer bool      `json:"text_layer,omitempty"` // of a page of a document: the file itself says what is on it
	// InkOutside is the share of what is on a page that is in no box, 0 to 1; nil where there are no boxes to tell by.
	InkOutside *float64 `json:"ink_outside,omitempty"`
	// BoxesWithoutInk counts the blocks whose boxes are over blank paper, as those of text that the model made up.
	BoxesWithoutInk int       `json:"boxes_without_ink,omitempty"`
	Elements        []Element `json:"elements,omitzero"`  // that were located, never null
	Language        string    `json:"language,omitempty"` // of a recording, as the user or the model names it
	Segments        []Segment `json:"segments,omitzero"`  // of a recording, never null
	Scenes          []Scene   `json:"scenes,omitzero"`    // of a film, never null
	Summary         string    `json:"summary,omitempty"`  // of a film's scenes
	Finish          Finish    `json:"finish"`
	Attempts        int       `json:"attempts"`
	Tries           []Attempt `json:"tries,omitempty"` // those attempts, in their order, where there is more than one
	Warnings        []string  `json:"warnings"`        // never null; sentences for people
	Usage           Usage     `json:"usage"`
}

// Source says where an item came from.
type Source struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file's bytes, in hex
	Bytes  int64  `json:"bytes"`
	Type   string `json:"type"`           // media type, by content
	Page   int    `json:"page,omitempty"` // from 1, in documents
}

// Effective is what was really done, defaults included.
type Effective struct {
	Facet       string `json:"facet,omitempty"` // version of the program; empty in records of versions that did not say
	Model       string `json:"model"`
	ModelSHA256 string `json:"model_sha256"`
	*Seen              // of an image, and of the frames of a film
	*Sheet             // of a page of a document
	*Heard             // of sound
	*Watched           // of a film

	Find         []string `json:"find,omitempty"` // what was to be located; without it all elements were asked for
	PromptSHA256 string   `json:"prompt_sha256"`
	Temperature  float64  `json:"temperature"`
	Seed         uint64   `json:"seed"`
}

// Spend counts the soft tokens that a part took.
func (e *Effective) Spend(m Medium, soft int) {
	switch {
	case m == Sound && e.Heard != nil:
		e.AudioTokens += soft
	case m == Film && e.Watched != nil:
		e.VideoTokens += soft
	case m == Image && e.Seen != nil:
		e.ImageTokens += soft
	}
}

// Seen is how an image was seen.
type Seen struct {
	Budget       int    `json:"budget"`                 // soft tokens allowed
	ImageTokens  int    `json:"image_tokens,omitempty"` // soft tokens used; those of a film are in Watched
	SizeSeen     [2]int `json:"size_seen"`              // width, height in pixels, as the tower saw it; 0 of a page that was not asked about
	SizeOriginal [2]int `json:"size_original"`          // width, height in pixels, upright
	Downscaled   bool   `json:"downscaled"`
	Rotated      int    `json:"rotated,omitempty"` // degrees clockwise by which it was turned, for this job, once it was upright; sizes and boxes are those of the turned one
}

// Sheet is how a page of a document became an image, whose pixels boxes are in.
type Sheet struct {
	DPI        float64    `json:"dpi"`         // pixels an inch
	PagePoints [2]float64 `json:"page_points"` // width, height in points of the upright page: of its CropBox, turned as it asks
}

// Heard is how a recording was heard.
type Heard struct {
	AudioSeconds float64 `json:"audio_seconds"` // of the recording
	SampleRate   int     `json:"sample_rate"`   // Hz, as stored
	Channels     int     `json:"channels"`      // as stored
	AudioTrack   int     `json:"audio_track"`   // from 1
	Pieces       int     `json:"pieces"`        // that were asked about
	HeardSeconds float64 `json:"heard_seconds"` // of all pieces together; the rest is silence
	AudioTokens  int     `json:"audio_tokens"`  // soft tokens used
}

// Watched is how a film was watched.
type Watched struct {
	VideoSeconds float64 `json:"video_seconds"`
	VideoTrack   int     `json:"video_track"`  // from 1
	Frames       int     `json:"frames"`       // that were looked at
	VideoTokens  int     `json:"video_tokens"` // soft tokens used
}

// Block is one piece of text and where it stands. A block whose box could not
// be used has none; the record's warnings say why.
type Block struct {
	Text       string  `json:"text"`
	Box        Box     `json:"box,omitzero"`
	Box2D      Box2D   `json:"box_2d,omitzero"`
	Confidence float64 `json:"confidence,omitzero"` // 0.0001–1; 0 is unknown
	NoInk      bool    `json:"no_ink,omitempty"`    // nothing is printed in the box or close to it
}

// Element is a part of an interface, and where it is. Its place could be used, or it would be left out.
type Element struct {
	Label      string  `json:"label"`               // as the model reads it
	Role       string  `json:"role,omitempty"`      // as "button", where it was asked for
	Find       string  `json:"find,omitempty"`      // of Effective.Find, the one that it is the answer to
	Box        Box     `json:"box"`                 // pixels
	Box2D      Box2D   `json:"box_2d"`              //
	Point      [2]int  `json:"point"`               // x, y of the pixel in the middle of Box: where to click
	Confidence float64 `json:"confidence,omitzero"` // of the label, 0.0001–1; 0 is unknown
}

// Segment is a stretch of a recording and what is said in it. Times are seconds on the
// recording's clock.
type Segment struct {
	Start       float64 `json:"start"`
	End         float64 `json:"end"`
	Text        string  `json:"text"`
	Translation string  `json:"translation,omitempty"`
	Channel     int     `json:"channel,omitempty"`    // from 1; 0 if all were mixed
	Track       int     `json:"track,omitempty"`      // from 1; 0 if the file has one
	Confidence  float64 `json:"confidence,omitempty"` // 0.0001–1; 0 is unknown
	// Estimated says that the times are not where speech begins and ends: what was heard at
	// once is parted for reading.
	Estimated bool `json:"estimated,omitempty"`
}

// Scene is a stretch of a film: what is seen, what is said, and what stands written.
type Scene struct {
	Start        float64 `json:"start"`
	End          float64 `json:"end"`
	Text         string  `json:"text"`
	Speech       string  `json:"speech,omitempty"`
	OnScreenText string  `json:"on_screen_text,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens int `json:"prompt_tokens"`
	OutputTokens int `json:"output_tokens"`
}

// ID is the stable id of an item: the first 16 hex digits of its file's
// SHA-256, and for a page of a document (page > 0) its number, as in
// "3f2a90c1d4e5f607.p2". Equal files at two paths share it; an item's key is
// id plus path.
func ID(sha256 [32]byte, page int) string {
	id := hex.EncodeToString(sha256[:8])
	if page > 0 {
		id = fmt.Sprintf("%s.p%d", id, page)
	}
	return id
}

// asked notes how often a part was asked about: the record has the attempts of the hardest one.
func (r *Record) asked(reply Reply) {
	n := max(reply.Attempts, len(reply.Tries))
	if n <= r.Attempts {
		return
	}
	r.Attempts, r.Tries = n, nil
	if len(reply.Tries) > 1 {
		r.Tries = reply.Tries
	}
}

// MarshalJSON writes the fields in their order, warnings never as null.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record // without this method
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	return Marshal(plain(r))
}

// Line returns the record as one line of records.jsonl, newline included. It
// fails only if a number set by the caller is not finite.
func (r *Record) Line() ([]byte, error) { return line(r) }

// Entry is one line of a manifest: an input and what to do with it.
type Entry struct {
	ID       string `json:"id,omitempty"`
	CustomID string `json:"custom_id,omitempty"`
	Path     string `json:"path"`
	Page     int    `json:"page,omitempty"`
	Job      string `json:"job,omitempty"`
	Options
}

// ErrorRecord is one line of errors.jsonl: the entry that failed, and why.
// ParseEntry reads it, so the file can be fed back as a manifest.
type ErrorRecord struct {
	Entry
	Error    string `json:"error"`
	TimedOut bool   `json:"timed_out,omitempty"` // time ended it, and not what it holds: another machine may read it
}

// Line returns the error record as one line of errors.jsonl, newline included.
func (e *ErrorRecord) Line() ([]byte, error) { return line(e) }

// ParseEntry reads one line of a manifest or of errors.jsonl; the error in
// the latter is dropped. Unknown and repeated keys are errors, so that a
// misspelt option does not silently have no effect.
func ParseEntry(line []byte) (Entry, error) {
	var e ErrorRecord
	if err := strictjson.Unmarshal(line, &e, strictjson.RefuseUnknown); err != nil {
		return Entry{}, err
	}
	if e.Path == "" {
		return Entry{}, fmt.Errorf("no path")
	}
	if e.Page < 0 {
		return Entry{}, fmt.Errorf("page %d is negative", e.Page)
	}
	return e.Entry, e.Options.check()
}

// Marshal is json.Marshal without escapes for HTML: records are for
// programs and for people with grep, and "<" is common in text.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return EscapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// EscapeJSON writes characters of JSON text as escapes that would command a terminal or switch the direction of reading,
// and that JSON may hold as they are: DEL, C1 and those of UAX #9, section 2. Such text is the same to programs. It returns
// data itself where there are none.
func EscapeJSON(data []byte) []byte {
	at := bytes.IndexFunc(data, commands)
	if at < 0 {
		return data
	}
	out := append([]byte(nil), data[:at]...)
	for _, r := range string(data[at:]) {
		if commands(r) { // only strings hold any
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func commands(r rune) bool {
	return 0x7f <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

func line(v any) ([]byte, error) {
	b, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
