package monitoring_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The types below are the part of Grafana's classic dashboard model that ours uses
// (kinds/dashboard/dashboard_kind.cue in its repository). Decoding is strict: what is misspelt or
// of the wrong type is found. schemaVersion 42 is what Grafana 12.2 and later write
// (apps/dashboard/pkg/migration/schemaversion).
type dashboard struct {
	ID                   *int           `json:"id"`
	UID                  string         `json:"uid"`
	Title                string         `json:"title"`
	Description          string         `json:"description"`
	Tags                 []string       `json:"tags"`
	Timezone             string         `json:"timezone"`
	Editable             bool           `json:"editable"`
	GraphTooltip         int            `json:"graphTooltip"`
	FiscalYearStartMonth int            `json:"fiscalYearStartMonth"`
	SchemaVersion        int            `json:"schemaVersion"`
	Version              int            `json:"version"`
	Refresh              string         `json:"refresh"`
	Preload              bool           `json:"preload"`
	WeekStart            string         `json:"weekStart"`
	Time                 timeRange      `json:"time"`
	Timepicker           struct{}       `json:"timepicker"`
	Links                []struct{}     `json:"links"`
	Annotations          annotationList `json:"annotations"`
	Templating           struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type annotationList struct {
	List []struct {
		BuiltIn         int    `json:"builtIn"`
		Name            string `json:"name"`
		Type            string `json:"type"`
		Enable          bool   `json:"enable"`
		Hide            bool   `json:"hide"`
		IconColor       string `json:"iconColor"`
		Datasource      ref    `json:"datasource"`
		Expr            string `json:"expr"`
		Step            string `json:"step"`
		TitleFormat     string `json:"titleFormat"`
		TextFormat      string `json:"textFormat"`
		TagKeys         string `json:"tagKeys"`
		UseValueForTime bool   `json:"useValueForTime"`
	} `json:"list"`
}

type ref struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type variable struct {
	Name        string     `json:"name"`
	Label       string     `json:"label"`
	Type        string     `json:"type"`
	Datasource  ref        `json:"datasource"`
	Definition  string     `json:"definition"`
	Query       any        `json:"query"` // a text, or an object of the data source
	Regex       string     `json:"regex"`
	Sort        int        `json:"sort"`
	Refresh     int        `json:"refresh"`
	Hide        int        `json:"hide"`
	Multi       bool       `json:"multi"`
	IncludeAll  bool       `json:"includeAll"`
	AllValue    string     `json:"allValue"`
	SkipURLSync bool       `json:"skipUrlSync"`
	Current     any        `json:"current"`
	Options     []struct{} `json:"options"`
}

type panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description"`
	Datasource      ref              `json:"datasource"`
	GridPos         box              `json:"gridPos"`
	Targets         []target         `json:"targets"`
	FieldConfig     fieldConfig      `json:"fieldConfig"`
	Options         map[string]any   `json:"options"`
	Transformations []transformation `json:"transformations"`
	Collapsed       bool             `json:"collapsed"` // of a row
	Panels          []struct{}       `json:"panels"`    // likewise
}

type box struct{ X, Y, W, H int }

type target struct {
	RefID        string `json:"refId"`
	Datasource   ref    `json:"datasource"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Format       string `json:"format"`
	EditorMode   string `json:"editorMode"`
	Instant      bool   `json:"instant"`
	Range        bool   `json:"range"`
}

type fieldConfig struct {
	Defaults struct {
		Unit       string   `json:"unit"`
		Decimals   *int     `json:"decimals"`
		Min        *float64 `json:"min"`
		Max        *float64 `json:"max"`
		NoValue    string   `json:"noValue"`
		Thresholds struct {
			Mode  string `json:"mode"`
			Steps []struct {
				Value *float64 `json:"value"`
				Color string   `json:"color"`
			} `json:"steps"`
		} `json:"thresholds"`
		Mappings []struct {
			Type    string                   `json:"type"`
			Options map[string]mappingResult `json:"options"`
		} `json:"mappings"`
		Color struct {
			Mode string `json:"mode"`
		} `json:"color"`
		Custom map[string]any `json:"custom"`
	} `json:"defaults"`
	Overrides []struct {
		Matcher struct {
			ID      string `json:"id"`
			Options string `json:"options"`
		} `json:"matcher"`
		Properties []struct {
			ID    string `json:"id"`
			Value any    `json:"value"`
		} `json:"properties"`
	} `json:"overrides"`
}

type mappingResult struct {
	Text  string `json:"text"`
	Color string `json:"color"`
	Index int    `json:"index"`
}

type transformation struct {
	ID      string         `json:"id"`
	Options map[string]any `json:"options"`
}

func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(read(t, packaged+"grafana-dashboard.json")))
	decoder.DisallowUnknownFields()
	var d dashboard
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// graphs are the panels without the headings between them.
func (d dashboard) graphs() []panel {
	return slices.DeleteFunc(slices.Clone(d.Panels), func(p panel) bool { return p.Type == "row" })
}

func TestDashboardHasGrafanasForm(t *testing.T) {
	d := loadDashboard(t)
	if d.ID != nil || len(d.UID) < 8 || len(d.UID) > 40 || d.SchemaVersion != 42 {
		t.Errorf("id %v, uid %q, schema version %d", d.ID, d.UID, d.SchemaVersion)
	}
	kinds := []string{"row", "stat", "gauge", "timeseries", "heatmap", "bargauge", "table"}
	seen := make(map[int]bool)
	for _, p := range d.Panels {
		if seen[p.ID] || p.ID == 0 {
			t.Errorf("%s: id %d is not its own", p.Title, p.ID)
		}
		seen[p.ID] = true
		if !slices.Contains(kinds, p.Type) {
			t.Errorf("%s: type %q", p.Title, p.Type)
		}
	}
}

func TestTheDashboardLetsChooseSourceAndHost(t *testing.T) {
	d := loadDashboard(t)
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Type+" "+v.Name)
	}
	if want := []string{"datasource datasource", "query instance"}; !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
	source := ref{"prometheus", "${datasource}"}
	for _, p := range d.graphs() {
		for _, q := range p.Targets {
			if p.Datasource != source || q.Datasource != source {
				t.Errorf("%s: another source than the chosen", p.Title)
			}
			if !strings.Contains(q.Expr, `instance=~"$instance"`) && !strings.Contains(q.Expr, "ALERTS") {
				t.Errorf("%s: not of the chosen host: %s", p.Title, q.Expr)
			}
		}
	}
}

func TestPanelsOfTheDashboardExplainThemselves(t *testing.T) {
	for _, p := range loadDashboard(t).graphs() {
		f := p.FieldConfig.Defaults
		if p.Title == "" || len(p.Description) < 20 || len(p.Targets) == 0 || len(p.Options) == 0 {
			t.Errorf("panel %d %q says too little", p.ID, p.Title)
		}
		if f.Unit == "" || len(f.Thresholds.Steps) == 0 || f.Thresholds.Steps[0].Value != nil {
			t.Errorf("%s: unit %q, thresholds %v: the first begins at minus infinity", p.Title, f.Unit, f.Thresholds.Steps)
		}
		for i, q := range p.Targets {
			if q.RefID != string(rune('A'+i)) || q.Instant == q.Range {
				t.Errorf("%s: query %q, instant %v, range %v", p.Title, q.RefID, q.Instant, q.Range)
			}
		}
	}
}

func TestPanelsOfTheDashboardLieSideBySide(t *testing.T) {
	panels := loadDashboard(t).Panels
	for i, p := range panels {
		a := p.GridPos
		if a.W < 1 || a.H < 1 || a.X < 0 || a.X+a.W > 24 {
			t.Errorf("%s lies at %+v, outside of the 24 columns", p.Title, a)
		}
		for _, q := range panels[:i] {
			b := q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s at %+v covers %s at %+v", p.Title, a, q.Title, b)
			}
		}
	}
}
