package main

import (
	"strings"

	"facet/pipeline"
	"facet/vision/pdf"
)

// documentFlags say how PDF documents are read.
type documentFlags struct {
	Pages    string `help:"Pages of PDF documents to read: numbers and ranges, as in 1-3,7,20-. Default: all." placeholder:"LIST"`
	DPI      int    `name:"dpi" help:"Resolution at which PDF pages are drawn. Default: that of the scan that a page is, else what the budget can use, at most 300." placeholder:"N"`
	Password string `help:"Password of encrypted PDF documents. The environment variable is not seen by others on this machine." env:"FACET_PDF_PASSWORD" placeholder:"TEXT"`
}

func (f *documentFlags) documents() (pipeline.Documents, error) {
	d := pipeline.Documents{Options: pdf.Options{Password: f.Password}}
	if f.Pages != "" {
		var err error
		if d.Pages, err = pipeline.ParsePages(f.Pages); err != nil {
			return d, usageError("--" + err.Error())
		}
	}
	return d, nil
}

// withoutPassword returns the command line as run.json may keep it.
func withoutPassword(args []string) []string {
	const flag, hidden = "--password", "…"
	kept := make([]string, len(args))
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, flag+"="):
			arg = flag + "=" + hidden
		case i > 0 && args[i-1] == flag:
			arg = hidden
		}
		kept[i] = arg
	}
	return kept
}
