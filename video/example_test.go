package video_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"facet/video"
)

// A film becomes windows that a model takes one after the other.
func Example() {
	ctx := context.Background()
	clip, err := video.Open(ctx, "film.mp4", video.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer clip.Close()
	track := clip.Info().DefaultVideo()
	index, err := clip.Index(ctx, track)
	if err != nil {
		log.Fatal(err)
	}
	cuts, err := clip.Cuts(ctx, track, 0.3)
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range index.Windows(video.PlanOptions{Frames: 32, Window: 30 * time.Second, Cuts: cuts}) {
		for frame, err := range clip.Frames(ctx, track, index.TicksOf(w.Frames)) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(frame.Seconds, frame.Image.Width, frame.Image.Height)
		}
	}
}

// Which frames of a minute at 25 frames a second a model sees that takes four, in windows of half a minute.
func ExampleIndex_Windows() {
	index := &video.Index{Base: video.Base{Num: 1, Den: 25}, End: 1500}
	for tick := range int64(1500) {
		index.Ticks = append(index.Ticks, tick)
	}
	for _, w := range index.Windows(video.PlanOptions{Frames: 4, Window: 30 * time.Second}) {
		fmt.Println(index.Seconds(w.Start), index.Seconds(w.End), w.Frames)
	}
	// Output:
	// 0 30 [0 187 375 562]
	// 30 60 [750 937 1125 1312]
}
