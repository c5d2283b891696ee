package sink

import (
	"encoding/xml"
	"fmt"
	"io"

	"facet/pipeline/job"
)

// The elements of ALTO 4.4 (Library of Congress) that are written, in the order its schema asks for.
// Attributes that do not apply are left out.
type (
	altoDescription struct {
		XMLName    xml.Name `xml:"Description"`
		Unit       string   `xml:"MeasurementUnit"`
		Source     altoFile `xml:"sourceImageInformation"`
		Processing altoStep `xml:"Processing"`
	}
	altoTags struct {
		XMLName xml.Name  `xml:"Tags"`
		Tags    []altoTag `xml:"OtherTag"`
	}
	altoFile struct {
		Name       string         `xml:"fileName"`
		Identifier altoIdentifier `xml:"fileIdentifier"`
	}
	altoIdentifier struct {
		Location string `xml:"fileIdentifierLocation,attr"`
		Value    string `xml:",chardata"`
	}
	altoStep struct {
		ID          string   `xml:"ID,attr"`
		Category    string   `xml:"processingCategory"`
		Description []string `xml:"processingStepDescription"`
		Settings    string   `xml:"processingStepSettings"`
		Software    string   `xml:"processingSoftware>softwareName"`
		Version     string   `xml:"processingSoftware>softwareVersion"`
	}
	altoTag struct {
		ID          string `xml:"ID,attr"`
		Type        string `xml:"TYPE,attr"`
		Label       string `xml:"LABEL,attr"`
		Description string `xml:"DESCRIPTION,attr"`
	}
	altoPage struct {
		XMLName    xml.Name   `xml:"Page"`
		ID         string     `xml:"ID,attr"`
		Class      string     `xml:"PAGECLASS,attr,omitempty"`
		Processing string     `xml:"PROCESSINGREFS,attr,omitempty"`
		Height     int        `xml:"HEIGHT,attr,omitempty"`
		Width      int        `xml:"WIDTH,attr,omitempty"`
		Number     int        `xml:"PHYSICAL_IMG_NR,attr"`
		Confidence float64    `xml:"PC,attr,omitempty"`
		Comment    xmlComment `xml:",comment"`
		PrintSpace *altoSpace `xml:"PrintSpace"` // nil for a page that was not read
	}
	altoSpace struct {
		altoPlace
		Blocks []altoBlock `xml:"TextBlock"`
	}
	altoBlock struct {
		ID string `xml:"ID,attr"`
		altoPlace
		Lines []altoLine `xml:"TextLine"`
	}
	altoLine struct {
		ID   string `xml:"ID,attr"`
		Tags string `xml:"TAGREFS,attr,omitempty"`
		altoPlace
		Direction string `xml:"BASEDIRECTION,attr,omitempty"`
		Content   []any  // altoString and, between them, altoSP
	}
	altoString struct {
		XMLName xml.Name `xml:"String"`
		ID      string   `xml:"ID,attr"`
		Tags    string   `xml:"TAGREFS,attr"`
		altoPlace
		Content    string  `xml:"CONTENT,attr"`
		Confidence float64 `xml:"WC,attr,omitempty"`
	}
	altoSP struct {
		XMLName xml.Name `xml:"SP"`
	}
	altoPlace struct {
		Height int `xml:"HEIGHT,attr"`
		Width  int `xml:"WIDTH,attr"`
		X      int `xml:"HPOS,attr"`
		Y      int `xml:"VPOS,attr"`
	}
)

// The tags that mark what was not measured.
const (
	altoEstimated = "estimated"
	altoUnplaced  = "unplaced"
)

// WriteALTO writes a page that was read as an ALTO 4.4 document, in pixels of the upright image. Lines
// that stand close together are a TextBlock. The boxes of words are those of their lines divided
// by the widths of letters and are tagged as estimated; a word's WC is the confidence of its line. A line without a box has the
// page's and is tagged as unplaced. facet is the version
// of this program, for a record that does not say which one read the page.
func WriteALTO(w io.Writer, rec *job.Record, facet string) error {
	a := newALTOWriter(w)
	if err := a.begin(rec.Source, madeBy(rec, facet), settings(provenance(rec))); err != nil {
		return err
	}
	if err := a.x.Encode(newALTOPage(rec, "")); err != nil {
		return err
	}
	return a.end()
}

// altoWriter writes a document page by page.
type altoWriter struct{ xmlWriter }

func newALTOWriter(w io.Writer) *altoWriter { return &altoWriter{newXMLWriter(w)} }

func (a *altoWriter) begin(source job.Source, facet, settings string) error {
	err := a.open("", xml.StartElement{Name: xml.Name{Local: "alto"}, Attr: attrs(
		"xmlns", "http://www.loc.gov/standards/alto/ns-v4#", "xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance",
		"xsi:schemaLocation", "http://www.loc.gov/standards/alto/ns-v4# http://www.loc.gov/standards/alto/v4/alto-4-4.xsd",
		"SCHEMAVERSION", "4.4",
	)})
	if err != nil {
		return err
	}
	err = a.x.Encode(altoDescription{
		Unit:   "pixel",
		Source: altoFile{PrintableLine(source.Path), altoIdentifier{"SHA-256", PrintableLine(source.SHA256)}},
		Processing: altoStep{
			ID: "facet", Category: "contentGeneration", Software: "facet", Version: PrintableLine(facet),
			Description: []string{"text and boxes of lines: read by a model", "boxes of words: estimated"},
			Settings:    settings,
		},
	})
	if err != nil {
		return err
	}
	err = a.x.Encode(altoTags{Tags: []altoTag{
		{altoEstimated, "position", "estimated", "the box of the line, divided by the widths of letters"},
		{altoUnplaced, "position", "unplaced", "no box is known: the page's"},
	}})
	if err != nil {
		return err
	}
	return a.push(xml.StartElement{Name: xml.Name{Local: "Layout"}})
}

// newALTOPage is a page that was read. Its ids have number in them, which is empty where the page is the only one.
func newALTOPage(rec *job.Record, number string) altoPage {
	s := sheetOf(rec)
	page := altoPage{
		ID: "page" + number, Processing: "facet", Height: s.box[3], Width: s.box[2], Number: max(1, rec.Source.Page),
		Confidence: s.confidence(), PrintSpace: &altoSpace{altoPlace: altoAt(s.box)},
	}
	if rec.Blank != nil && *rec.Blank {
		page.Class = "blank"
	}
	n := 0 // of the line
	for i, r := range s.regions {
		block := altoBlock{ID: fmt.Sprintf("block%s_%d", number, i+1), altoPlace: altoAt(r.box)}
		for _, l := range r.lines {
			n++
			block.Lines = append(block.Lines, newALTOLine(l, fmt.Sprintf("%s_%d", number, n)))
		}
		page.PrintSpace.Blocks = append(page.PrintSpace.Blocks, block)
	}
	return page
}

func newALTOLine(l line, number string) altoLine {
	out := altoLine{ID: "line" + number, altoPlace: altoAt(l.box)}
	tag := altoEstimated
	if l.unplaced {
		out.Tags, tag = altoUnplaced, altoUnplaced
	}
	if l.rtl {
		out.Direction = "rtl"
	}
	for i, w := range l.words {
		if i > 0 {
			out.Content = append(out.Content, altoSP{})
		}
		out.Content = append(out.Content, altoString{
			ID: fmt.Sprintf("word%s_%d", number, i+1), Tags: tag, altoPlace: altoAt(w.box), Content: w.text, Confidence: l.confidence,
		})
	}
	return out
}

func altoAt(b job.Box) altoPlace {
	return altoPlace{Height: b[3] - b[1], Width: b[2] - b[0], X: b[0], Y: b[1]}
}
