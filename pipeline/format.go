package pipeline

import (
	"io"
	"path/filepath"
	"slices"
	"strings"

	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// Format is a form in which the records of a run are written.
type Format string

// The formats. In a folder each item has its own file, but for records.jsonl.
const (
	JSONL       Format = "jsonl"        // records.jsonl
	Text        Format = "txt"          // the text alone
	Overlay     Format = "overlay"      // the image with numbered boxes, PNG
	ALTO        Format = "alto"         // ALTO 4.4, XML
	HOCR        Format = "hocr"         // hOCR 1.2, XHTML
	SRT         Format = "srt"          // subtitles
	VTT         Format = "vtt"          // subtitles
	VerboseJSON Format = "verbose_json" // as OpenAI's transcriptions
	TSV         Format = "tsv"          // as Whisper's
	Markdown    Format = "md"
	Sidecar     Format = "sidecar" // the text in NAME.txt, as training sets want it
)

// allFormats gives each a place in a mask. New ones come at the end.
var allFormats = []Format{JSONL, Text, Overlay, ALTO, HOCR, SRT, VTT, VerboseJSON, TSV, Markdown, Sidecar}

func maskOf(formats []Format) (mask uint16) {
	for _, f := range formats {
		if i := slices.Index(allFormats, f); i >= 0 {
			mask |= 1 << i
		}
	}
	return mask
}

// Formats lists the formats of a job's records, the usual one first. The name "" is that of a run of several jobs.
func Formats(jobName string) []Format {
	switch jobName {
	case job.Transcribe.Name:
		return []Format{JSONL, Text, SRT, VTT, VerboseJSON, TSV}
	case job.Caption.Name:
		return []Format{JSONL, Text, VTT, Markdown, Sidecar}
	case job.Locate.Name:
		return []Format{JSONL, Text, Overlay}
	case "":
		return []Format{JSONL, Text}
	}
	return []Format{JSONL, Text, Markdown, ALTO, HOCR, Overlay}
}

// suffix is the ending of an item's file in a folder.
func (f Format) suffix() string {
	switch f {
	case Overlay:
		return ".boxes.png"
	case ALTO:
		return ".alto.xml"
	case VerboseJSON:
		return ".json"
	case Sidecar:
		return ".txt"
	}
	return "." + string(f)
}

// ofPage reports whether a file of this format is about one page.
func (f Format) ofPage() bool { return f == ALTO || f == HOCR || f == Overlay }

// ofRecording reports whether a file of this format has the times of one recording.
func (f Format) ofRecording() bool { return f == SRT || f == VTT || f == TSV }

// byName gives the format of a single output file by its ending.
func byName(path string) (Format, bool) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".jsonl", ".json":
		return JSONL, true
	case ".txt", ".srt", ".vtt", ".tsv", ".md", ".hocr":
		return Format(ext[1:]), true
	case ".xml":
		return ALTO, true
	case ".png":
		return Overlay, true
	}
	return "", false
}

// write writes a record. img is the page that an overlay is drawn on.
func (f Format) write(w io.Writer, rec *job.Record, img *vision.Image, facet string) error {
	switch f {
	case Text, Sidecar:
		return sink.WriteText(w, rec)
	case SRT:
		return sink.WriteSRT(w, rec)
	case VTT:
		return sink.WriteVTT(w, rec)
	case VerboseJSON:
		return sink.WriteVerboseJSON(w, rec)
	case TSV:
		return sink.WriteTSV(w, rec)
	case Markdown:
		if rec.Job == job.OCR.Name {
			return sink.WritePageMarkdown(w, rec, facet)
		}
		return sink.WriteMarkdown(w, rec)
	case ALTO:
		return sink.WriteALTO(w, rec, facet)
	case HOCR:
		return sink.WriteHOCR(w, rec, facet)
	case Overlay:
		return sink.WriteOverlay(w, img.NRGBA(), rec, facet)
	}
	return sink.WriteRecord(w, rec)
}
