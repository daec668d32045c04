package soak

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

const (
	plotWidth, plotHeight = 900, 360
	plotMargin            = 60 // for the numbers
	plotLines             = 5  // on each axis
)

// Plot draws each quantity over time into a PNG file in dir.
func (r *Report) Plot(dir string) error {
	for _, g := range r.graphs() {
		file, err := os.Create(filepath.Join(dir, g.file))
		if err != nil {
			return err
		}
		if err := png.Encode(file, g.draw()); err != nil {
			_ = file.Close() // the first error says more
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// draw makes both axes begin at 0, so that growth is seen as large as it is.
func (g graph) draw() image.Image {
	picture := image.NewRGBA(image.Rect(0, 0, plotWidth, plotHeight))
	draw.Draw(picture, picture.Bounds(), image.White, image.Point{}, draw.Src)
	maxX, maxY := slices.Max(append(g.at, 1)), slices.Max(append(g.values, 1))
	g.drawGrid(picture, maxX, maxY)
	for i := 1; i < len(g.at); i++ {
		line(picture, place(g.at[i-1]/maxX, g.values[i-1]/maxY), place(g.at[i]/maxX, g.values[i]/maxY))
	}
	return picture
}

// place is where a point is, given as parts of the axes.
func place(x, y float64) image.Point {
	return image.Pt(plotMargin+int(x*(plotWidth-2*plotMargin)), plotHeight-plotMargin-int(y*(plotHeight-2*plotMargin)))
}

func (g graph) drawGrid(picture *image.RGBA, maxX, maxY float64) {
	grey := color.RGBA{0xdd, 0xdd, 0xdd, 0xff}
	for i := range plotLines + 1 {
		part := float64(i) / plotLines
		from, to := place(0, part), place(1, part)
		for x := from.X; x <= to.X; x++ {
			picture.SetRGBA(x, from.Y, grey)
		}
		write(picture, image.Pt(4, from.Y+4), fmt.Sprintf("%.0f", part*maxY))
		write(picture, place(part, 0).Add(image.Pt(-10, 20)), fmt.Sprintf("%.0f s", part*maxX))
	}
	write(picture, image.Pt(plotMargin, plotMargin/2), g.name)
}

func write(picture *image.RGBA, at image.Point, text string) {
	d := font.Drawer{Dst: picture, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(at.X, at.Y)}
	d.DrawString(text)
}

// line goes step by step along the longer side.
func line(picture *image.RGBA, from, to image.Point) {
	blue := color.RGBA{0x1f, 0x4e, 0x9e, 0xff}
	d := to.Sub(from)
	steps := max(d.X, -d.X, d.Y, -d.Y, 1)
	for i := range steps + 1 {
		x, y := from.X+d.X*i/steps, from.Y+d.Y*i/steps
		picture.SetRGBA(x, y, blue)
		picture.SetRGBA(x, y+1, blue) // thick enough to be seen
	}
}
