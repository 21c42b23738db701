import { readCsv } from '../src/seed/csv.js';

describe('reading CSV', () => {
  const read = (text: string) => Array.from(readCsv(text));

  it('reads quoted fields with commas, line breaks and doubled quotes', () => {
    expect(read('a,b\n"1,5","x\ny"\n"say ""hi""",2\n')).toEqual([
      { a: '1,5', b: 'x\ny' },
      { a: 'say "hi"', b: '2' },
    ]);
  });

  it('keeps empty fields, also the last one, with and without a final line break', () => {
    expect(read('a,b,c\r\n,,\r\n1,,3')).toEqual([
      { a: '', b: '', c: '' },
      { a: '1', b: '', c: '3' },
    ]);
    expect(read('a,b\n1,')).toEqual([{ a: '1', b: '' }]);
  });

  it('has no rows without a header or below it', () => {
    expect(read('')).toEqual([]);
    expect(read('a,b\n')).toEqual([]);
  });

  it('refuses a row of another width and text that is not CSV', () => {
    expect(() => read('a,b\n1,2,3\n')).toThrow('Row 2 has 3 fields, its header has 2.');
    expect(() => read('a,b\n1,x"y\n')).toThrow('not CSV');
    expect(() => read('a\n"open')).toThrow('not CSV');
  });
});
