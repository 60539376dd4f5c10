// What this caller has made.
export class ResultsPanel {}
